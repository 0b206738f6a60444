"""Makes of a CustomResourceDefinition what can be compared: no descriptions, one version, and no large unused part."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Node = Mapping[str, Any]
Schema = dict[str, Any]

# A part that no resource uses is refused from this size on (as JSON): then the schema is narrower than the published
# one, and never wider.
LARGE_BYTES = 600
KEPT = frozenset(
    {
        *("enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
        *("exclusiveMinimum", "exclusiveMaximum"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
JUNCTORS = ("allOf", "anyOf", "oneOf")
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "namespace": {"type": "string", "minLength": 1},
        "labels": TEXTS,
        "annotations": TEXTS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


class NotPublished(Exception):
    """A version that a definition does not have or does not serve any longer."""


def reduced(definition: Node, version: str, resources: Iterable[Node]) -> Schema:
    """The schema of one version. Of its large parts it has those that the resources use. Raises NotPublished."""
    kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
    found = next((each for each in definition["spec"]["versions"] if each["name"] == version), None)
    if found is None or not found["served"]:
        served = ", ".join(each["name"] for each in definition["spec"]["versions"] if each["served"])
        raise NotPublished(f"{kind}.{group}: {version} is not served; take one of: {served}")
    whole = found["schema"]["openAPIV3Schema"]
    own = {key: node for key, node in whole["properties"].items() if key not in _OF_ALL}
    values = list(resources)
    schema = _object({**whole, "properties": {}}, values)
    schema["properties"] = {
        key: _reduced(node, [each[key] for each in values if key in each]) for key, node in sorted(own.items())
    }
    schema["properties"] = {
        "apiVersion": {"const": f"{group}/{version}"},
        "kind": {"const": kind},
        "metadata": METADATA,
        **schema["properties"],
    }
    schema["required"] = sorted({"apiVersion", "kind", "metadata", *schema.get("required", ())} - {"status"})
    return {"type": "object", **schema, "additionalProperties": False}


_OF_ALL = ("apiVersion", "kind", "metadata", "status")


def _reduced(node: Node, values: list[Any] | None) -> Schema:
    """Of one place; ``values`` are what resources have there, or None if nothing is to be left out."""
    schema: Schema = {key: node[key] for key in sorted(KEPT & set(node)) if _is_understood(key, node[key])}
    types = (
        ["integer", "string"] if node.get("x-kubernetes-int-or-string") else [node[t] for t in ("type",) if t in node]
    )
    if types and node.get("nullable"):
        types.append("null")
    if types:
        schema = {"type": types[0] if len(types) == 1 else types, **schema}
    if "enum" in schema and node.get("nullable"):
        schema["enum"] = [*schema["enum"], None]
    if node.get("type") == "object":
        schema.update(_object(node, values))
    if "items" in node:
        schema["items"] = _reduced(node["items"], None if values is None else _items(values))
    if not node.get("x-kubernetes-int-or-string"):
        schema.update({key: [_bare(each) for each in node[key]] for key in JUNCTORS if key in node})
    if "not" in node:
        schema["not"] = _bare(node["not"])
    return schema


def _object(node: Node, values: list[Any] | None) -> Schema:
    known = node.get("properties", {})
    schema: Schema = {"properties": {key: _property(node, key, values) for key in sorted(known)}} if known else {}
    # What has a default is set before anything is asked for.
    if required := [key for key in node.get("required", ()) if "default" not in known.get(key, {})]:
        schema["required"] = required
    others = node.get("additionalProperties", bool(node.get("x-kubernetes-preserve-unknown-fields")))
    if not isinstance(others, bool):
        inner = None if values is None else [each for value in _objects(values) for each in value.values()]
        schema["additionalProperties"] = _reduced(others, inner)
    elif not others:
        schema["additionalProperties"] = False
    return schema


def _property(node: Node, key: str, values: list[Any] | None) -> Schema | bool:
    child = node["properties"][key]
    if values is None:
        return _reduced(child, None)
    used = [value[key] for value in _objects(values) if key in value]
    if not used and len(json.dumps(_reduced(child, None))) > LARGE_BYTES:
        return False
    return _reduced(child, used)


def _objects(values: list[Any]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _items(values: list[Any]) -> list[Any]:
    return [each for value in values if isinstance(value, list) for each in value]


def _bare(node: Any) -> Any:
    """A condition, without words; it names fields, and says of no field that there is no other."""
    if not isinstance(node, Mapping):
        return node
    plain = {
        key: node[key] for key in sorted({*KEPT, "type", "required"} & set(node)) if _is_understood(key, node[key])
    }
    if "properties" in node:
        plain["properties"] = {key: _bare(each) for key, each in sorted(node["properties"].items())}
    if "items" in node:
        plain["items"] = _bare(node["items"])
    plain.update({key: [_bare(each) for each in node[key]] for key in JUNCTORS if key in node})
    if "not" in node:
        plain["not"] = _bare(node["not"])
    return plain


def _is_understood(key: str, value: Any) -> bool:
    """Patterns are Go's, and a few of them are none of Python's."""
    if key != "pattern":
        return True
    try:
        re.compile(value)
    except re.error:
        return False
    return True
