"""Custom resources are compared with published schemas: what the API would refuse is refused here."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import crds, schemas
from tests.manifests.crds import __main__ as written
from tests.manifests.crds.__main__ import main
from tests.manifests.crds.reduction import LARGE_BYTES, NotPublished, reduced
from tests.manifests.kustomize import APART, APPLIED, COMBINATIONS, Resource, built

FILES = sorted(crds.SCHEMAS.glob("*.json"))
OF_ANOTHER_TYPE = {"object": [], "array": {}, "string": {}, "integer": {}, "number": {}, "boolean": {}}
Path_ = tuple[str | int, ...]


def resources(file: Path) -> list[Resource]:
    """All of a kind that can be built, each once."""
    found = {
        json.dumps(resource): resource
        for folder in (*APPLIED, *COMBINATIONS, *APART)
        for resource in built(folder)
        if crds.file_of(resource["apiVersion"], resource["kind"]) == file
    }
    return list(found.values())


def places(value: Any, schema: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any, Any]]:
    """(path, schema, value) for each part of a resource of which the schema says something."""
    yield path, schema, value
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        for key, each in value.items():
            inner = schema.get("properties", {}).get(key, others)
            if isinstance(inner, dict):
                yield from places(each, inner, (*path, key))
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            yield from places(each, schema["items"], (*path, index))


def changed(resource: Resource, path: Path_, value: Any) -> Resource:
    """A copy with another value at a place, or without the place if the value is None."""
    result = copy.deepcopy(resource)
    parent = result
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return result


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_kind_that_is_used_refuses_unknown_fields_other_types_and_missing_fields(file: Path) -> None:
    schema = json.loads(file.read_text())["schema"]
    used = resources(file)
    assert used, "nobody uses this schema"
    unknown = missing = mistyped = 0

    for resource in used:
        assert not list(schemas.problems(resource))
        for path, part, value in places(resource, schema):
            if part.get("additionalProperties") is False:
                assert list(schemas.problems(changed(resource, (*path, "noSuchField"), "x"))), path
                unknown += 1
            for key in part.get("required", ()) if path else ():
                assert list(schemas.problems(changed(resource, (*path, key), None))), (*path, key)
                missing += 1
            if path and "type" in part:
                first = part["type"] if isinstance(part["type"], str) else part["type"][0]
                assert list(schemas.problems(changed(resource, path, OF_ANOTHER_TYPE[first]))), (path, value)
                mistyped += 1

    assert unknown > 1
    assert missing
    assert mistyped > 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_schema_names_its_source_and_has_no_text_of_it(file: Path) -> None:
    content = json.loads(file.read_text())

    assert all(content["source"][key] for key in ("repository", "version", "path", "licence"))
    assert content["scope"] in ("Namespaced", "Cluster")
    assert not [value for key, value in _entries(content) if key in ("description", "title") and isinstance(value, str)]


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _entries(each)


def test_a_kind_of_which_nothing_is_known_is_a_problem() -> None:
    [problem] = schemas.problems({"apiVersion": "example.com/v1", "kind": "Unheard", "metadata": {"name": "one"}})

    assert "no schema" in problem
    assert "tests.manifests.crds" in problem


def definition(**spec: Any) -> dict[str, Any]:
    """A definition with some of everything."""
    fields = {
        "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "replicas": {"type": "integer", "format": "int32", "minimum": 1},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "description": "words"},
        "mode": {"type": "string", "enum": ["a", "b"], "nullable": True},
        "wait": {"type": "string", "format": "duration"},
        "large": {
            "type": "object",
            "properties": {f"field{number}": {"type": "string"} for number in range(LARGE_BYTES // 10)},
        },
        "set": {"type": "string", "default": "x"},
        "empty": {"type": "object"},
    }
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"type": "object", "properties": fields, "required": ["replicas", "set"]},
            "status": {"type": "object"},
        },
    }
    versions = [
        {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}},
        {"name": "v1beta1", "served": False, "schema": {"openAPIV3Schema": schema}},
    ]
    own = {"group": "example.com", "names": {"kind": "Thing"}, "scope": "Namespaced", "versions": versions}
    return {"kind": "CustomResourceDefinition", "spec": {**own, **spec}}


def thing(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "one"},
        "spec": {"replicas": 1, **spec},
    }


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"port": 80},
        {"port": "http"},
        {"free": {"anything": [1]}},
        {"mode": None},
        {"wait": "1h30m"},
        {"empty": {}},
    ],
)
def test_what_the_definition_allows_is_allowed(spec: dict[str, Any]) -> None:
    assert not list(crds.compared(thing(**spec), reduced(definition(), "v1", [])))


@pytest.mark.parametrize(
    "spec",
    [
        {"port": True},
        {"port": 1.5},
        {"replicas": 0},
        {"replicas": 2**31},
        {"replicas": "1"},
        {"mode": "c"},
        {"free": "x"},
        {"wait": "an hour"},
        {"empty": {"x": 1}},
        {"unknown": 1},
    ],
)
def test_what_the_definition_refuses_is_refused(spec: dict[str, Any]) -> None:
    assert list(crds.compared(thing(**spec), reduced(definition(), "v1", [])))


def test_a_large_part_that_nobody_used_is_refused_and_said_to_be_left_out() -> None:
    using = thing(large={"field1": "x"})

    [problem] = crds.compared(using, reduced(definition(), "v1", []))
    assert "left out" in problem
    assert not list(crds.compared(using, reduced(definition(), "v1", [using])))


def test_a_status_is_for_the_operator_to_write() -> None:
    assert list(crds.compared({**thing(), "status": {}}, reduced(definition(), "v1", [])))


@pytest.mark.parametrize("version", ["v1beta1", "v2"])
def test_a_version_that_is_not_served_is_refused_with_those_that_are(version: str) -> None:
    with pytest.raises(NotPublished, match=r"take one of: v1$"):
        reduced(definition(), version, [])


def command(root: Path, *paths: str) -> int:
    return main(["--repository=a/b", "--version=1", "--licence=MIT", f"--root={root}", *paths])


def test_the_command_says_what_is_wrong_with_its_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "absent.yaml") == 2
    assert "absent.yaml" in capsys.readouterr().err


def test_a_kind_of_the_whole_cluster_has_no_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kustomize writes its own into all kinds that it does not know."""
    monkeypatch.setattr(crds, "SCHEMAS", tmp_path)
    content = {"scope": "Cluster", "schema": reduced(definition(), "v1", [])}
    crds.file_of("example.com/v1", "Thing").write_text(json.dumps(content))
    named = thing()
    named["metadata"]["namespace"] = "shop"

    assert not list(schemas.problems(thing()))
    [problem] = schemas.problems(named)
    assert "namespace" in problem


def test_templates_of_charts_can_be_read_and_nothing_is_written_that_nobody_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crd.yaml").write_text("{{- if .Values.on }}\n---\n" + yaml.safe_dump(definition()) + "{{- end }}\n")

    assert command(tmp_path, "crd.yaml") == 0
    assert capsys.readouterr().out == "0 kinds of a/b 1\n"
    assert sorted(crds.SCHEMAS.glob("*.json")) == FILES


def test_a_kind_that_is_used_is_written_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crd.yaml").write_text(yaml.safe_dump(definition()))
    monkeypatch.setattr(crds, "SCHEMAS", tmp_path)
    monkeypatch.setattr(written, "built", lambda folder: [thing(large={"field1": "x"})])

    assert command(tmp_path, "crd.yaml") == 0
    content = json.loads(crds.file_of("example.com/v1", "Thing").read_text())
    assert content["source"] == {"repository": "a/b", "version": "1", "path": "crd.yaml", "licence": "MIT"}
    assert not list(schemas.problems(thing(large={"field2": "x"})))
