"""Whether an HTTP API still does what its callers were promised: two OpenAPI 3.0 documents, operation by operation.

Not looked at: added 2xx statuses, error statuses that are no longer answered, links, callbacks, servers, and everything
that a document does not say, such as what a field means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.pipeline.schemas import Misfit, Schema, Side, misfits, referred

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True)
class OperationMisfit:
    """A misfit of one operation; ``path`` is a template with ``{}`` for each parameter."""

    method: str
    path: str
    misfit: Misfit

    @property
    def place(self) -> str:
        return " ".join(each for each in (self.method.upper(), self.path, self.misfit.place) if each)


def template(path: str) -> str:
    """The path with nameless parameters: names do not matter to a caller."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def operations(document: Schema) -> dict[tuple[str, str], Schema]:
    """By method and template; each with the parameters of its path."""
    found = {}
    for path, item in document.get("paths", {}).items():
        shared = item.get("parameters", ())
        for method in METHODS:
            if method in item:
                operation = {**item[method], "parameters": [*shared, *item[method].get("parameters", ())]}
                found[method, template(path)] = {**operation, "parameters": _parameters(operation, document, path)}
    return found


def broken(base: Schema, now: Schema) -> Iterator[OperationMisfit]:
    """What a caller that was written for ``base`` does not get from ``now``."""
    old, new = operations(base), operations(now)
    for (method, path), operation in old.items():
        if (method, path) not in new:
            gone = Misfit("", "operation-removed", "", deprecated=bool(operation.get("deprecated")))
            yield OperationMisfit(method, path, gone)
            continue
        for found in _broken(operation, new[method, path], base, now):
            yield OperationMisfit(method, path, found)


def _broken(old: Schema, new: Schema, base: Schema, now: Schema) -> Iterator[Misfit]:
    yield from _access(old, new, base, now)
    yield from _asked(old["parameters"], new["parameters"], base, now)
    yield from _bodies(_resolved(old.get("requestBody"), base), _resolved(new.get("requestBody"), now), base, now)
    for status, answer in old.get("responses", {}).items():
        if status in new.get("responses", {}):
            yield from _answers(
                f"{status}", _resolved(answer, base), _resolved(new["responses"][status], now), base, now
            )
        elif str(status).startswith("2"):
            yield Misfit(str(status), "status-removed", "")


def _access(old: Schema, new: Schema, base: Schema, now: Schema) -> Iterator[Misfit]:
    before = old.get("security", base.get("security")) or [{}]
    after = new.get("security", now.get("security")) or [{}]
    for way in before:
        if not any(_enough(way, each) for each in after):
            yield Misfit("security", "access-tightened", f"{'no token' if not way else ' + '.join(way)} was enough")


def _enough(has: Mapping[str, list[str]], asked: Mapping[str, list[str]]) -> bool:
    return all(name in has and set(scopes) <= set(has[name]) for name, scopes in asked.items())


def _parameters(operation: Schema, document: Schema, path: str) -> dict[tuple[str, str], Schema]:
    order = re.findall(r"\{([^}]*)\}", path)
    found = {}
    for parameter in (_resolved(each, document) for each in operation["parameters"]):
        name = parameter["name"]
        key = str(order.index(name)) if parameter["in"] == "path" and name in order else name
        found[parameter["in"], key.lower() if parameter["in"] == "header" else key] = parameter
    return found


def _asked(old: Mapping[Any, Schema], new: Mapping[Any, Schema], base: Schema, now: Schema) -> Iterator[Misfit]:
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        place = f"{key[0]} {(after or before or {})['name']}"
        if after is None:
            assert before is not None
            yield Misfit(place, "parameter-removed", "", before["name"], bool(before.get("deprecated")))
            continue
        if after.get("required") and not (before or {}).get("required"):
            yield Misfit(place, "parameter-newly-required", "")
        if before is not None:
            yield from _within(
                place, Side(before.get("schema", {}), base), Side(after.get("schema", {}), now), "reader"
            )


def _bodies(old: Schema, new: Schema, base: Schema, now: Schema) -> Iterator[Misfit]:
    if new.get("required") and not old.get("required"):
        yield Misfit("body", "body-newly-required", "")
    if old and not new:
        yield Misfit("body", "body-no-longer-read", "")
        return
    yield from _contents("body", old, new, base, now, "reader")


def _answers(status: str, old: Schema, new: Schema, base: Schema, now: Schema) -> Iterator[Misfit]:
    for name in old.get("headers", {}):
        if name.lower() not in {each.lower() for each in new.get("headers", {})}:
            yield Misfit(f"{status} header {name}", "header-removed", "")
    yield from _contents(status, old, new, base, now, "writer")


def _contents(place: str, old: Schema, new: Schema, base: Schema, now: Schema, newer: str) -> Iterator[Misfit]:
    dropped = "readOnly" if newer == "reader" else "writeOnly"
    for kind, content in old.get("content", {}).items():
        if kind not in new.get("content", {}):
            yield Misfit(f"{place} {kind}", "content-removed", "")
            continue
        before = Side(content.get("schema", {}), base, drop=dropped)
        after = Side(new["content"][kind].get("schema", {}), now, drop=dropped)
        yield from _within(place, before, after, newer)


def _within(place: str, before: Side, after: Side, newer: str) -> Iterator[Misfit]:
    found = misfits(before, after, "reader", unread=True) if newer == "reader" else misfits(after, before, "writer")
    for each in found:
        yield replace(each, place=f"{place} {each.place}".strip())


def _resolved(node: Schema | None, document: Schema) -> Schema:
    if node is None:
        return {}
    return _resolved(referred(node["$ref"], document), document) if "$ref" in node else node
