"""The address of a request, by which the gateway follows a bounce."""

from __future__ import annotations

import pytest
from chassis.ownership import forwarding
from django.test import RequestFactory


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        (None, "http"),
        ("http", "http"),
        ("https", "https"),
        ("https, http", "https"),
        ("https,https", "https"),
        ("", "http"),
        ("javascript", "http"),
    ],
)
def test_its_scheme_is_the_one_by_which_the_client_came(said: str | None, scheme: str) -> None:
    headers = {"host": "library.example"} | ({} if said is None else {"x-forwarded-proto": said})

    request = RequestFactory().post("/books?shelf=1", headers=headers)

    assert forwarding.own_address(request) == f"{scheme}://library.example/books?shelf=1"


@pytest.mark.parametrize(
    "host", ["library.example", "library.example:8000", "10.0.0.7", "[::1]", "[2001:db8::7]:443", "a-b_c.d", "A.B:0"]
)
def test_a_host_that_the_gateway_can_follow_has_an_address(host: str) -> None:
    assert forwarding.has_address(RequestFactory().post("/books", headers={"host": host}))


@pytest.mark.parametrize(
    "host",
    [
        "a@library.example",
        "a/b",
        "a?b",
        "a#b",
        "a b",
        "a,b",
        "a:99999",
        "a:b:c",
        "%61",
        "a:",
        "[::1",
        "caf\u00e9",
        '"a"',
    ],
)
def test_what_is_no_host_has_none(host: str) -> None:
    assert not forwarding.has_address(RequestFactory().post("/books", headers={"host": host}))


def test_an_address_in_the_query_stays_there() -> None:
    request = RequestFactory().post("/books", headers={"host": "library.example"})
    request.environ["RAW_URI"] = "/books?next=http://a//b"

    assert forwarding.raw_path(request) == "/books?next=http://a//b"


def test_the_name_in_an_absolute_target_is_no_part_of_the_path() -> None:
    request = RequestFactory().post("/books", headers={"host": "library.example"})
    request.environ["RAW_URI"] = "http://library.example/books?a=%zz|//b"

    assert forwarding.raw_path(request) == "/books?a=%zz|//b"
