"""What the service promises is what the monolith promised, path for path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OWNED = {
    "users": ("/api/v1/users", "/api/v1/auth", "/internal/users", "/.well-known"),
    "products": ("/api/v1/products", "/api/v1/categories", "/internal/products"),
    "orders": ("/api/v1/orders",),
}


def document(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name / "openapi.yaml").read_text())


@pytest.fixture(scope="module")
def monolith() -> dict[str, Any]:
    return document("monolith")


@pytest.fixture(scope="module", params=OWNED)
def capability(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def service(capability) -> dict[str, Any]:
    return document(f"services/{capability}")


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


def test_the_service_has_the_capability_s_paths_and_no_others(monolith, service, capability):
    assert set(service["paths"]) == {path for path in monolith["paths"] if path.startswith(OWNED[capability])}


def test_every_operation_is_described_equally(monolith, service):
    for path, operations in service["paths"].items():
        theirs = resolved(monolith["paths"][path], monolith["components"])
        assert resolved(operations, service["components"]) == theirs, path


def test_the_ways_to_sign_in_are_the_same(monolith, service):
    theirs = monolith["components"]["securitySchemes"]
    assert service["components"]["securitySchemes"].items() <= theirs.items()


def test_every_operation_says_how_it_can_be_refused(service):
    for path, operations in service["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"400", "406", "503"} <= answers.keys(), (method, path)
            assert all("Retry-After" in answers[status]["headers"] for status in ("429", "503") if status in answers)
            assert "requestBody" not in operation or {"413", "415"} <= answers.keys(), (method, path)
            assert "{" not in path or "404" in answers, (method, path)
