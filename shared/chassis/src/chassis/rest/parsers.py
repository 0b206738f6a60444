"""JSON bodies. A body with values that no field and no column could take is refused before a view meets it."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, NoReturn

from django.conf import settings
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError, UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from chassis.rest.errors import MOST_ERRORS, TooLarge

DEEPEST_LEVELS = 64
LONGEST_NUMBER_DIGITS = 400  # digits; the largest double has 309
SURROGATES = ("\ud800", "\udfff")


class JSONParser(BaseParser):
    """JSON as RFC 8259 and I-JSON (RFC 7493) have it; anything else is a 400 that says what is wrong.

    It refuses other encodings than UTF-8 (415), more than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes (413), NaN and
    infinities, numbers of hundreds of digits, names that occur twice in an object, and depths beyond
    ``DEEPEST_LEVELS``. It also refuses, and names the first fields: a text with NUL, which no column of PostgreSQL
    takes, and a text with half of a surrogate pair, which nothing can encode.
    """

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """What the body says. Raises ParseError, ValidationError, UnsupportedMediaType, TooLarge."""
        _insist_on_utf8(media_type or "")
        try:
            said = _checked(_loads(_read(stream)))
        except RecursionError:
            raise ParseError(_told("it is nested too deeply")) from None
        except UnicodeDecodeError:
            raise ParseError(_told("it is not UTF-8")) from None
        except ValueError as error:
            raise ParseError(_told(str(error))) from None
        _insist_on_texts(said)
        return said


def _insist_on_utf8(media_type: str) -> None:
    charset = parse_header_parameters(media_type)[1].get("charset")
    try:
        known = charset is None or codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        known = False
    if not known:
        raise UnsupportedMediaType(media_type, "JSON is taken in UTF-8 only.")


def _read(stream: IO[Any]) -> bytes:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if most is None:
        return bytes(stream.read())
    body = bytes(stream.read(most + 1))
    if len(body) > most:
        raise TooLarge
    return body


def _loads(body: bytes) -> Any:
    return json.loads(
        body.decode(),
        object_pairs_hook=_object,
        parse_constant=_no_number,
        parse_float=_float,
        parse_int=_int,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > LONGEST_NUMBER_DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)


def _checked(value: Any) -> Any:
    """The value, after a look at its depth. Layer by layer: nothing here may recurse."""
    layer: list[Any] = [value]
    for _ in range(DEEPEST_LEVELS + 1):
        layer = list(_inside(layer))
        if not layer:
            return value
    raise ValueError("it is nested too deeply")


def _insist_on_texts(value: Any) -> None:
    fields = value if isinstance(value, dict) else {}
    # A name that is refused cannot be shown as a field's name.
    if reason := _reason([*fields]) if fields else _reason(value):
        raise ParseError(_told(reason))
    refused = ((name, [reason]) for name, held in fields.items() if (reason := _reason(held)))
    if named := dict(islice(refused, MOST_ERRORS)):
        raise ValidationError(named)


def _reason(value: Any) -> str:
    layer: list[Any] = [value]
    while layer:
        for text in layer:
            if isinstance(text, str) and (reason := _wrong(text)):
                return reason
        layer = list(_inside(layer))
    return ""


def _inside(layer: Iterable[Any]) -> Iterator[Any]:
    for value in layer:
        if isinstance(value, dict):
            yield from value
            yield from value.values()
        elif isinstance(value, list):
            yield from value


def _wrong(text: str) -> str:
    if "\x00" in text:
        return "NUL characters are not allowed."
    if not text.isascii() and any(SURROGATES[0] <= letter <= SURROGATES[1] for letter in text):
        return "Half of a surrogate pair is not allowed."
    return ""


def _told(reason: str) -> str:
    return f"JSON parse error - {reason}"
