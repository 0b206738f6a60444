"""What the comparison of two schemas tells, and that it tells enough."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest

from tests.pipeline.schemas import Side, misfits

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def thing(needed: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": needed.split()}


def told(writer: Any, reader: Any, newer: str, **how: Any) -> list[tuple[str, str]]:
    return [(each.place, each.rule) for each in misfits(Side(writer, writer), Side(reader, reader), newer, **how)]


@pytest.mark.parametrize(
    ("old", "new", "rule", "place"),
    [
        (thing("a", a=TEXT), thing(), "field-removed", "a"),
        (thing(a=TEXT), thing(), "field-removed", "a"),
        (thing("a", a=TEXT), thing(a=TEXT), "field-now-optional", "a"),
        (thing(a=thing("b", b=TEXT)), thing(a=thing()), "field-removed", "a.b"),
        ({"items": thing("b", b=TEXT)}, {"items": thing()}, "field-removed", "[].b"),
        (WHOLE, NUMBER, "type-widened", ""),
        (WHOLE, {"type": ["integer", "null"]}, "type-widened", ""),
        (WHOLE, {**WHOLE, "nullable": True}, "type-widened", ""),
        (WHOLE, {"oneOf": [WHOLE, TEXT]}, "type-widened", ""),
        (TEXT, {}, "type-widened", ""),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, "values-added", ""),
        ({"const": "a"}, TEXT, "values-added", ""),
        ({**WHOLE, "minimum": 1}, {**WHOLE, "minimum": 0}, "limit-loosened", ""),
        ({**WHOLE, "minimum": 1, "exclusiveMinimum": True}, {**WHOLE, "minimum": 1}, "limit-loosened", ""),
        ({**WHOLE, "maximum": 9}, WHOLE, "limit-loosened", ""),
        ({**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 10}, "limit-loosened", ""),
        ({**TEXT, "pattern": "^a$"}, {**TEXT, "pattern": "^b$"}, "limit-loosened", ""),
        ({**TEXT, "format": "date-time"}, TEXT, "limit-loosened", ""),
        ({"additionalProperties": WHOLE}, {"additionalProperties": TEXT}, "type-widened", "*"),
        (thing(a=TEXT), {**thing(a=TEXT), "dependentRequired": {"a": ["b"]}}, "cannot-be-judged", ""),
    ],
)  # fmt: skip
def test_what_a_newer_writer_breaks(old, new, rule, place):
    assert told(new, old, "writer") == [(place, rule)]


@pytest.mark.parametrize(
    ("old", "new", "rule", "place"),
    [
        (thing(), thing("a", a=TEXT), "field-newly-required", "a"),
        (thing(a=TEXT), thing("a", a=TEXT), "field-newly-required", "a"),
        (thing(a=TEXT), thing(), "field-no-longer-read", "a"),
        (NUMBER, WHOLE, "type-narrowed", ""),
        ({"type": ["integer", "null"]}, WHOLE, "type-narrowed", ""),
        ({"anyOf": [WHOLE, TEXT]}, WHOLE, "type-narrowed", ""),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "values-removed", ""),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"enum": [1, 2]}}}, {"enum": [1]}, "values-removed", ""),
        ({**TEXT, "maxLength": 10}, {**TEXT, "maxLength": 9}, "limit-tightened", ""),
        ({"type": "array"}, {"type": "array", "minItems": 1}, "limit-tightened", ""),
        ({"allOf": [WHOLE, {"minimum": 0}]}, {**WHOLE, "minimum": 1}, "limit-tightened", ""),
    ],
)
def test_what_a_newer_reader_breaks(old, new, rule, place):
    assert told(old, new, "reader", unread=True) == [(place, rule)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (thing("a", a=TEXT), thing("a b", a=TEXT, b=TEXT)),
        ({**thing("a", a=TEXT), "additionalProperties": False}, thing("a", a=TEXT, b=TEXT)),
        (thing(a=TEXT), thing("a", a=TEXT)),
        (TEXT, {**TEXT, "description": "Said better.", "title": "A text", "deprecated": True}),
        (NUMBER, WHOLE),
        ({"enum": ["a", "b"]}, {"const": "a"}),
        ({**WHOLE, "minimum": 0}, {**WHOLE, "minimum": 1, "maximum": 5}),
    ],
)
def test_a_newer_writer_may_write_less_and_tell_more(old, new):
    assert not told(new, old, "writer")


def test_a_newer_reader_may_ask_for_less_and_take_more():
    assert not told(thing("a", a=WHOLE), thing(a=NUMBER, b=TEXT), "reader", unread=True)


def test_a_schema_that_holds_itself_is_compared_to_its_end():
    node = {"properties": {"child": {"$ref": "#"}, "name": TEXT}}

    assert told(node, {"properties": {"child": {"$ref": "#"}, "name": WHOLE}}, "reader") == [("name", "type-narrowed")]


def test_what_travels_one_way_only_is_not_asked_for_on_the_other():
    old, new = thing("id", id={**WHOLE, "readOnly": True}), thing("id", id={**TEXT, "readOnly": True})

    assert not list(misfits(Side(old, old, "readOnly"), Side(new, new, "readOnly"), "reader"))


VALUES = [None, True, 0, 1, 5, 2.5, "", "a", "bb", [], [1], ["a", 1], {}, {"a": 1}, {"a": "a"}, {"a": None, "b": 2},
          {"a": 1, "b": "bb"}, {"b": [1]}, {"a": {"a": 1}}]  # fmt: skip


def made(dice: random.Random, depth: int = 0) -> dict[str, Any]:
    """A schema of the keywords that the comparison knows."""
    schema: dict[str, Any] = {}
    if dice.random() < 0.7:
        schema["type"] = dice.sample(
            ["null", "boolean", "integer", "number", "string", "array", "object"], dice.randint(1, 3)
        )
    if dice.random() < 0.2:
        schema["enum"] = dice.sample(VALUES[:9], dice.randint(1, 5))
    for keyword, chance in (
        ("minimum", 0.2),
        ("maximum", 0.2),
        ("exclusiveMinimum", 0.1),
        ("maxLength", 0.2),
        ("minItems", 0.2),
    ):
        if dice.random() < chance:
            schema[keyword] = dice.randint(0, 3)
    if depth < 2 and dice.random() < 0.5:
        schema["properties"] = {name: made(dice, depth + 1) for name in dice.sample(["a", "b"], dice.randint(1, 2))}
        schema["required"] = dice.sample(["a", "b"], dice.randint(0, 2))
    if depth < 2 and dice.random() < 0.2:
        schema["items"] = made(dice, depth + 1)
    if depth < 2 and dice.random() < 0.2:
        schema[dice.choice(["anyOf", "allOf"])] = [made(dice, depth + 1) for _ in range(2)]
    return schema


def test_what_the_comparison_passes_is_taken_by_the_reader():
    """Random pairs of schemas, judged by a validator: no value that the writer may write is refused."""
    dice = random.Random(16)
    passed = 0
    for _ in range(1500):
        writer = made(dice)
        reader = made(dice) if dice.random() < 0.3 else {**writer, **dict(list(made(dice).items())[:1])}
        writes, takes = (jsonschema.Draft202012Validator(each) for each in (writer, reader))
        if not told(writer, reader, "writer"):
            passed += 1
            for value in VALUES:
                assert not writes.is_valid(value) or takes.is_valid(value), (writer, reader, value)
    assert passed > 200
