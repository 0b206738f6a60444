"""Which requests two routes share, and which methods read."""

from __future__ import annotations

import re

import pytest
import spellings
from strangler.domain.route import Route, overlapping
from strangler.domain.routing import reading_methods, writing_methods


def route(text: str) -> Route:
    methods, path = text.split()
    return Route(frozenset() if methods == "*" else frozenset(methods.split(",")), path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GET /a", "GET,POST /a"),
        ("* /a", "GET /a"),
        ("GET /a/{id}", "GET /a/7"),
        ("GET /a/{id}", "GET /a/{name}"),
        ("GET /a/{id}.json", "GET /a/7.json"),
        ("GET /a/*", "GET /a/b/c"),
        ("GET /a/*", "GET /a/"),
        ("GET /a*", "GET /ab/c"),
        ("GET /a*", "GET /ab*"),
        ("GET /*", "GET /a/{id}"),
        ("GET /a/{id}/*", "GET /a/7/parts"),
    ],
)
def test_routes_that_share_a_request(one: str, other: str) -> None:
    assert overlapping(route(one), route(other))
    assert overlapping(route(other), route(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("GET /a", "POST /a"),
        ("GET /a", "GET /a/"),
        ("GET /a", "GET /b"),
        ("GET /a/{id}", "GET /a/7/parts"),
        ("GET /a/{id}/parts", "GET /a/7/boxes"),
        ("GET /a/{id}.json", "GET /a/7.xml"),
        ("GET /a/*", "GET /a"),
        ("GET /a/*", "GET /b/c"),
        ("GET /ab*", "GET /ac*"),
        ("GET /a/*", "GET /ab/c"),
    ],
)
def test_routes_that_share_none(one: str, other: str) -> None:
    assert not overlapping(route(one), route(other))
    assert not overlapping(route(other), route(one))


def test_who_answers_get_answers_head() -> None:
    assert reading_methods(route("GET,POST /a")) == {"GET", "HEAD"}
    assert writing_methods(route("GET,POST /a")) == {"POST"}


def test_any_method_is_split_into_safe_ones_and_all_others() -> None:
    assert reading_methods(route("* /a")) == {"GET", "HEAD", "OPTIONS"}
    assert writing_methods(route("* /a")) is None


@pytest.mark.parametrize(
    "path",
    [
        "/things",
        "/things/",
        "/things/{id}",
        "/things/{id}/parts",
        "/things/{id}:find",
        "/things/*",
        "/things/{id}/a*",
        "/{kind}/7",
        "/café",
        "/things/a;v=1",
        "/things/a*",
        "/*",
        "/th*",
        "/things/100%",
    ],
)
def test_a_path_matches_as_it_is_written_exactly_if_it_matches_as_it_is_read(path: str) -> None:
    found = Route(frozenset(), path)
    unreserved = re.compile("%([46][1-9A-Fa-f]|[57][0-9Aa]|3[0-9]|2[DEde]|5[Ff]|7[Ee])")

    for asked in spellings.written(3_000, 7):
        # A gateway has already decoded signs that need no escape.
        seen = unreserved.sub(lambda escape: chr(int(escape[1], 16)), asked)
        read = re.fullmatch(found.pattern, spellings.decoded(seen), re.DOTALL)
        assert bool(re.fullmatch(found.written_pattern, seen)) == bool(read), asked
