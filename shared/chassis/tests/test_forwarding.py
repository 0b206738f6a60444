"""The address of a request, by which the gateway follows a bounce."""

from __future__ import annotations

import pytest
from chassis import forwarding
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
