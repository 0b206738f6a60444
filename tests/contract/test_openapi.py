"""What the service promises is what the monolith promised, path for path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OWNED = ("/api/v1/users", "/api/v1/auth", "/.well-known")


def document(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name / "openapi.yaml").read_text())


@pytest.fixture(scope="module")
def monolith() -> dict[str, Any]:
    return document("monolith")


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    return document("services/users")


def resolved(node: Any, components: dict[str, Any]) -> Any:
    """The node with every reference replaced by what it refers to, so that names do not matter."""
    if isinstance(node, list):
        return [resolved(item, components) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        _, _, section, name = node["$ref"].split("/")
        return resolved(components[section][name], components)
    return {name: resolved(value, components) for name, value in node.items()}


def test_the_service_has_the_capability_s_paths_and_no_others(monolith, service):
    assert set(service["paths"]) == {path for path in monolith["paths"] if path.startswith(OWNED)}


def test_every_operation_is_described_equally(monolith, service):
    for path, operations in service["paths"].items():
        theirs = resolved(monolith["paths"][path], monolith["components"])
        assert resolved(operations, service["components"]) == theirs, path


def test_the_way_to_sign_in_is_the_same(monolith, service):
    assert service["components"]["securitySchemes"] == monolith["components"]["securitySchemes"]
