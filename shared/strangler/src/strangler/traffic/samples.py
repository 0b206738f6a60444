"""Values that fit a schema of OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from strangler.traffic.known import ROOM, SECRET, Of, Text, Unknown

LONGEST_SAMPLE = 200
SAMPLES = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "duration": "01:00:00",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "decimal": "1.00",
    "hostname": "example.com",
}
# For texts with a pattern: the first that fits it is taken.
CANDIDATES = (
    "US", "USD", "en", "12345", "1.00", "1", "a", "A1", "abc-def", "+15550100123", "555-0100", "2026-01-31", "12:00",
    "#336699", "https://example.com/", "example", "Example", "EXAMPLE", "0" * 10, "a" * 24, "A" * 10,
)  # fmt: skip
Schema = Mapping[str, Any]


def is_reference(name: str) -> bool:
    """Whether a number of this name is the id of something."""
    return name.endswith(("_id", "Id")) or name == "id"


def number(schema: Schema, kind: str) -> Any:
    """The least number that the schema allows, from one on."""
    least = schema.get("minimum", schema.get("exclusiveMinimum"))
    if not isinstance(least, int | float) or isinstance(least, bool):
        least = 1
    value = max(least, min(1, schema.get("maximum", 1)))
    value += schema.get("exclusiveMinimum") == value or schema.get("exclusiveMinimum") is True
    return int(value) if kind == "integer" else value


def text(name: str, schema: Schema, shown: Any, *, written: bool) -> Any:  # noqa: PLR0911  a line for each format
    """A text of the schema's format; ``shown`` is the document's example."""
    form, limit, pattern = schema.get("format"), schema.get("maxLength"), schema.get("pattern")
    if written and SECRET.search(name) and name not in ("refresh",):
        return Unknown(f"which {name}?")
    if form == "email" or (form is None and name.endswith("email")):
        return Text(name, limit, "email")
    if form == "uuid":
        return Of(name) if is_reference(name) else Text(name, limit, "uuid")
    if form in ("binary", "byte"):
        return Unknown(f"which file is {name}?")
    if form in SAMPLES:
        return shown if isinstance(shown, str) else SAMPLES[form]
    roomy = limit is None or limit >= ROOM + 4
    if roomy and (pattern is None or _fits(pattern, f"{name.replace('_', '-')}-0a1b2c-1-1")):
        return Text(name, limit)
    return shown if isinstance(shown, str) else _sample(name, schema)


def _sample(name: str, schema: Schema) -> Any:
    """The first text that fits the schema."""
    limit, pattern = schema.get("maxLength"), schema.get("pattern")
    shortest, longest = schema.get("minLength", 0), limit or LONGEST_SAMPLE
    for one in CANDIDATES if pattern else (name[:longest], *CANDIDATES):
        if shortest <= len(one) <= longest and (pattern is None or _fits(pattern, one)):
            return one
    return Unknown(f"which text fits {name} ({pattern or f'{shortest} to {longest} characters'})?")


def _fits(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
