"""What JSON is taken, and how the rest is refused."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from chassis.rest.errors import MOST_ERRORS, TooLarge
from chassis.rest.parsers import DEEPEST_LEVELS, JSONParser
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError


def parse(body: bytes, media_type: str = "application/json"):
    return JSONParser().parse(BytesIO(body), media_type, {})


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", None),
        (b'{"a": [1, 2.5, "\xc3\xa9", true]}', {"a": [1, 2.5, "é", True]}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[" * DEEPEST_LEVELS + b"]" * DEEPEST_LEVELS, None),
        (b"9" * 400, int("9" * 400)),
    ],
)
def test_json_is_taken(body, value):
    parsed = parse(body)

    assert value is None or parsed == value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[" * (DEEPEST_LEVELS + 2) + b"]" * (DEEPEST_LEVELS + 2), "too deeply"),
        (b"[" * 1_000 + b"]" * 1_000, "too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too deeply"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"b": [{"a": 1, "a": 1}]}', "twice"),
        (b"NaN", "no number"),
        (b"[-Infinity]", "no number"),
        (b"1e999", "too large"),
        (b"-1e999", "too large"),
        (b"9" * 401, "too many digits"),
        (b"9" * 5_000, "too many digits"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udbff": 1}', "surrogate"),
        (b'"\\ud800\\ud800\\udc00"', "surrogate"),
        (b"\xff", "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        ("{}".encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
    ],
)
def test_what_no_field_could_take_is_refused_and_told(body, reason):
    with pytest.raises(ParseError, match=reason):
        parse(body)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"a": [["x\\u0000y"]], "b": "fine"}', {"a": ["NUL characters are not allowed."]}),
        (b'{"a": "\\udfff x"}', {"a": ["Half of a surrogate pair is not allowed."]}),
        (
            b'{"a": {"b": "\\u0000"}, "c": {"\\ud800": 1}}',
            {"a": ["NUL characters are not allowed."], "c": ["Half of a surrogate pair is not allowed."]},
        ),
    ],
)
def test_a_field_with_a_text_that_no_column_takes_is_named(body, fields):
    with pytest.raises(ValidationError) as refused:
        parse(body)

    assert refused.value.detail == fields


def test_of_many_such_fields_the_first_are_named():
    body = json.dumps({f"k{number}": "\0" for number in range(50_000)}).encode()

    with pytest.raises(ValidationError) as refused:
        parse(body)

    assert list(refused.value.detail) == [f"k{number}" for number in range(MOST_ERRORS)]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", '"utf-8"', "us-ascii"])
def test_its_encoding_may_be_named(charset):
    assert parse(b"{}", f"application/json; charset={charset}") == {}


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-7", "base64", "undefined", "nosuch", "utf-8-sig"])
def test_another_encoding_is_a_media_type_that_is_not_taken(charset):
    with pytest.raises(UnsupportedMediaType):
        parse(b"{}", f"application/json; charset={charset}")


def test_a_body_beyond_the_limit_is_too_large(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    assert parse(b'"12345678"') == "12345678"
    with pytest.raises(TooLarge):
        parse(b'"123456789"')


def test_without_a_limit_it_is_read_whole(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None

    assert len(parse(b'"' + b"x" * 5_000_000 + b'"')) == 5_000_000
