"""Whether what one version writes can be read by another: two JSON Schemas, compared keyword by keyword.

The dialects are JSON Schema 2020-12 (messages) and OpenAPI 3.0 (`nullable`, boolean `exclusiveMinimum`). A reader is
taken to ignore fields that it does not know, as handlers and clients of this project do, so a reader's
``additionalProperties: false`` refuses nothing here. Defaults, examples and texts are not compared. Two patterns or
formats that differ are a misfit, for nobody can say in general which of two regular expressions takes more. A keyword
that is not known here and differs is one too: what cannot be judged does not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]
Newer = Literal["writer", "reader"]

ANNOTATIONS = {
    "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description", "discriminator",
    "example", "examples", "externalDocs", "readOnly", "title", "writeOnly", "xml",
}  # fmt: skip
COMPARED = {
    "additionalProperties", "allOf", "anyOf", "enum", "items", "nullable", "oneOf", "properties", "required", "type",
}  # fmt: skip
SIZED = {"Length": "string", "Items": "array", "Properties": "object"}
SIZES = [f"{end}{what}" for what in SIZED for end in ("min", "max")]
NUMBERS = ("integer", "number")
EXACT = {"pattern": ("string",), "format": ("string", *NUMBERS), "multipleOf": NUMBERS, "uniqueItems": ("array",)}
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
KNOWN = {*COMPARED, *SIZES, *EXACT, *BOUNDS}

# By which side is newer: the names of the same misfit.
TYPE: Mapping[Newer, str] = {"writer": "type-widened", "reader": "type-narrowed"}
VALUES: Mapping[Newer, str] = {"writer": "values-added", "reader": "values-removed"}
LIMIT: Mapping[Newer, str] = {"writer": "limit-loosened", "reader": "limit-tightened"}


class UnreadableError(Exception):
    """A file that is part of a contract cannot be read, or points to nothing."""


@dataclass(frozen=True, order=True)
class Misfit:
    """A place at which the reader does not get what it takes; ``field`` is the name of the field, if it is one.

    ``deprecated`` says that the older side had announced that the field would go.
    """

    place: str
    rule: str
    detail: str
    field: str = ""
    deprecated: bool = False


@dataclass(frozen=True)
class Side:
    """A schema in the document that its references point into; fields marked as ``drop`` do not travel here."""

    schema: Schema | bool
    document: Schema
    drop: str = ""

    def at(self, schema: Schema | bool) -> Side:
        return Side(schema, self.document, self.drop)

    def plain(self) -> dict[str, Any]:
        """The schema without references, ``allOf``, ``const`` and ``nullable``."""
        return _plain(self.schema, self.document)

    def fields(self, plain: Schema) -> dict[str, Schema]:
        found = plain.get("properties", {})
        return {name: each for name, each in found.items() if not (self.drop and _flag(each, self.document, self.drop))}


def misfits(writer: Side, reader: Side, newer: Newer, *, unread: bool = False) -> Iterator[Misfit]:
    """What the writer may write and the reader does not take; ``newer`` is the side that has changed.

    ``unread`` also tells of fields that an older writer sends and a newer reader no longer knows.
    """
    yield from _Comparison(newer, unread).of(writer, reader, "", ())


@dataclass(frozen=True)
class _Comparison:
    newer: Newer
    unread: bool

    def of(self, writer: Side, reader: Side, place: str, above: tuple[tuple[str, str], ...]) -> Iterator[Misfit]:
        pair = (json.dumps(writer.schema, sort_keys=True), json.dumps(reader.schema, sort_keys=True))
        if pair in above:  # a schema that holds itself
            return
        above = (*above, pair)
        written, read = writer.plain(), reader.plain()
        if "anyOf" in written or "anyOf" in read:
            yield from self._alternatives(writer, reader, written, read, place, above)
            return
        yield from self._unknown(written, read, place)
        differing = list(self._types(written, read, place))
        yield from differing
        if differing:
            return
        yield from self._values(written, read, place)
        yield from self._limits(written, read, place)
        if _may_be(written, "object"):
            yield from self._object(writer, reader, written, read, place, above)
        if "items" in read and _may_be(written, "array"):
            yield from self.of(writer.at(written.get("items", {})), reader.at(read["items"]), f"{place}[]", above)

    def _alternatives(
        self, writer: Side, reader: Side, written: Schema, read: Schema, place: str, above: tuple[tuple[str, str], ...]
    ) -> Iterator[Misfit]:
        takes = [reader.at(each) for each in read.get("anyOf", [dict(read)])]
        for each in written.get("anyOf", [dict(written)]):
            found = [list(self.of(writer.at(each), one, place, above)) for one in takes]
            if all(found):
                if len(found) == 1:
                    yield from found[0]
                else:
                    yield Misfit(place, TYPE[self.newer], f"no alternative takes {json.dumps(each, sort_keys=True)}")

    def _unknown(self, written: Schema, read: Schema, place: str) -> Iterator[Misfit]:
        for keyword in sorted({*written, *read} - KNOWN - ANNOTATIONS):
            if not keyword.startswith("x-") and written.get(keyword) != read.get(keyword):
                yield Misfit(place, "cannot-be-judged", f"`{keyword}` differs")

    def _types(self, written: Schema, read: Schema, place: str) -> Iterator[Misfit]:
        writes, takes = _types(written), _types(read)
        if takes is None:
            return
        surplus = {"anything"} if writes is None else {each for each in writes if not _takes(takes, each)}
        if surplus:
            told = f"{_list(writes)} is written, {_list(takes)} is taken"
            yield Misfit(place, TYPE[self.newer], told)

    def _values(self, written: Schema, read: Schema, place: str) -> Iterator[Misfit]:
        if "enum" not in read:
            return
        if "enum" not in written:
            yield Misfit(place, VALUES[self.newer], f"anything is written, {_list(read['enum'])} is taken")
        elif surplus := [value for value in written["enum"] if value not in read["enum"]]:
            yield Misfit(place, VALUES[self.newer], f"{_list(surplus)} is not taken")

    def _limits(self, written: Schema, read: Schema, place: str) -> Iterator[Misfit]:
        rule = LIMIT[self.newer]
        if "enum" in written:
            limits = Draft202012Validator({each: read[each] for each in {*SIZES, *EXACT, *BOUNDS} & read.keys()})
            if refused := [value for value in written["enum"] if not limits.is_valid(value)]:
                yield Misfit(place, rule, f"{_list(refused)} is not taken")
            return
        for keyword in (each for each in SIZES if _may_be(written, SIZED[each[3:]])):
            sign = 1 if keyword.startswith("min") else -1
            limit, found = read.get(keyword), written.get(keyword)
            if limit is not None and (found is None or found * sign < limit * sign):
                yield Misfit(place, rule, f"`{keyword}` of {_said(found)} is written, {limit} is taken")
        for bound, sign in (("minimum", 1), ("maximum", -1)) if _may_be(written, *NUMBERS) else ():
            least, given = _bound(read, bound), _bound(written, bound)
            if least is not None and (given is None or (given[0] * sign, given[1]) < (least[0] * sign, least[1])):
                yield Misfit(place, rule, f"`{bound}` of {_said(given and given[0])} is written, {least[0]} is taken")
        for keyword, kinds in EXACT.items():
            if _may_be(written, *kinds) and read.get(keyword) not in (None, False, written.get(keyword)):
                told = f"`{keyword}` {_said(written.get(keyword))} is written, {read[keyword]} is taken"
                yield Misfit(place, rule, told)

    def _object(
        self, writer: Side, reader: Side, written: Schema, read: Schema, place: str, above: tuple[tuple[str, str], ...]
    ) -> Iterator[Misfit]:
        sent, known = writer.fields(written), reader.fields(read)
        always = set(written.get("required", ()))
        needed = {each for each in read.get("required", ()) if each in known or each not in read.get("properties", {})}
        for name in sorted({*known, *needed}):
            here = f"{place}.{name}" if place else name
            if name not in sent:
                yield from self._absent(name, here, known.get(name), name in needed, reader)
                continue
            if name in needed and name not in always:
                yield Misfit(here, "field-newly-required" if self.newer == "reader" else "field-now-optional", "", name)
            yield from self.of(writer.at(sent[name]), reader.at(known.get(name, {})), here, above)
        if self.unread:
            for name in sorted(sent.keys() - known.keys()):
                here = f"{place}.{name}" if place else name
                gone = _flag(sent[name], writer.document, "deprecated")
                yield Misfit(here, "field-no-longer-read", "", name, gone)
        others, taken = written.get("additionalProperties", True), read.get("additionalProperties", True)
        if isinstance(taken, Mapping) and taken and others is not False:
            yield from self.of(
                writer.at({} if others is True else others), reader.at(taken), f"{place}.*".lstrip("."), above
            )

    def _absent(self, name: str, place: str, known: Schema | None, needed: bool, reader: Side) -> Iterator[Misfit]:
        if self.newer == "writer":
            gone = known is not None and _flag(known, reader.document, "deprecated")
            yield Misfit(place, "field-removed", "it was always there" if needed else "it was optional", name, gone)
        elif needed:
            yield Misfit(place, "field-newly-required", "", name)


def _plain(schema: Schema | bool, document: Schema) -> dict[str, Any]:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    parts = [{key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}]
    if "$ref" in schema:
        parts.append(_plain(referred(schema["$ref"], document), document))
    parts += [_plain(each, document) for each in schema.get("allOf", ())]
    merged: dict[str, Any] = {}
    for part in parts:
        merged = _merged(merged, part)
    return _dialect(merged)


def referred(reference: str, document: Schema) -> Any:
    """What a reference within the document points to; one to another document is told as a keyword nobody knows."""
    if not reference.startswith("#/"):
        return {"$ref elsewhere": reference}
    found: Any = document
    for step in reference[2:].split("/"):
        try:
            found = found[step.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError) as error:
            raise UnreadableError(f"a $ref to {reference}, where nothing is") from error
    return found


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        if key not in merged or merged[key] == value or key in ANNOTATIONS:
            merged.setdefault(key, value)
        elif key == "properties":
            both = {name: {"allOf": [merged[key][name], each]} for name, each in value.items() if name in merged[key]}
            merged[key] = {**merged[key], **value, **both}
        elif key == "required":
            merged[key] = sorted({*merged[key], *value})
        else:
            merged[f"allOf {key}"] = [merged[key], value]
    return merged


def _dialect(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
    if "anyOf" in schema:
        outside = {key: value for key, value in schema.items() if key not in {"anyOf", *ANNOTATIONS, "nullable"}}
        chosen = [{"allOf": [outside, each]} if outside else each for each in schema["anyOf"]]
        return {"anyOf": [*chosen, {"type": "null"}] if schema.get("nullable") else chosen}
    if schema.pop("nullable", False) and "type" in schema:
        schema["type"] = sorted({*_texts(schema["type"]), "null"})
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    return schema


def _flag(schema: Schema, document: Schema, name: str) -> bool:
    return isinstance(schema, Mapping) and bool(_plain(schema, document).get(name) or schema.get(name))


def _bound(schema: Schema, name: str) -> tuple[float, bool] | None:
    """The bound, and whether it is excluded itself."""
    bounds = [(schema[name], False)] if name in schema else []
    exclusive = f"exclusive{name.capitalize()}"
    bounds += [(schema[exclusive], True)] if exclusive in schema else []
    sign = 1 if name == "minimum" else -1
    return max(bounds, key=lambda each: (each[0] * sign, each[1]), default=None)


KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def _types(schema: Schema) -> set[str] | None:
    """The types that a value may have; None where it may have each."""
    if "type" in schema:
        return _texts(schema["type"])
    if "enum" in schema:
        return {"null" if value is None else KINDS[type(value)] for value in schema["enum"]}
    return None


def _may_be(schema: Schema, *kinds: str) -> bool:
    types = _types(schema)
    return types is None or bool(types & set(kinds))


def _takes(taken: set[str], written: str) -> bool:
    return written in taken or (written == "integer" and "number" in taken)


def _texts(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)


def _list(values: set[str] | list[Any] | None) -> str:
    if values is None:
        return "anything"
    return " or ".join(sorted("null" if value is None else str(value) for value in values)) or "nothing"


def _said(value: object) -> str:
    return "none" if value is None else str(value)
