"""What a controller would do with the documents, and what the API would refuse.

Gateway API is no part of Kubernetes, so its schema is not in the packages that have the other schemas. Here are those
of its rules that these documents could break.
"""

from __future__ import annotations

import re
from typing import Any

Document = dict[str, Any]
MATCHES_OF_A_RULE, MATCHES_OF_A_ROUTE, RULES = 64, 128, 16
DURATION = re.compile(r"[0-9]{1,5}(h|m|s|ms)")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def assert_httproute(document: Document) -> None:
    """Checks what the API asks of an HTTPRoute; an unknown field is refused, too."""
    assert document["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(document["spec"]) <= {"parentRefs", "hostnames", "rules"}
    assert NAME.fullmatch(document["metadata"]["name"])
    rules = document["spec"]["rules"]
    assert 1 <= len(rules) <= RULES
    assert sum(len(rule["matches"]) for rule in rules) <= MATCHES_OF_A_ROUTE
    for rule in rules:
        assert set(rule) in ({"matches", "filters", "timeouts", "backendRefs"}, {"matches"})
        assert 1 <= len(rule["matches"]) <= MATCHES_OF_A_RULE
        assert all(set(backend) - {"filters"} == {"name", "port", "weight"} for backend in rule.get("backendRefs", []))
        assert DURATION.fullmatch(rule.get("timeouts", {"request": "0s"})["request"])
        for match in rule["matches"]:
            assert set(match) <= {"path", "method"}
            assert match["path"]["type"] in {"Exact", "PathPrefix", "RegularExpression"}
            assert match["path"]["value"].startswith("/") or match["path"]["type"] == "RegularExpression"
            assert len(match["path"]["value"]) <= 1024


def answering(documents: list[Document], method: str, path: str) -> dict[str, int]:
    """The backends of a request and their weights: the most specific match decides."""
    found = [
        (_rank(match), rule)
        for document in documents
        for rule in document["spec"]["rules"]
        for match in rule["matches"]
        if match.get("method", method) == method and _holds(match["path"], path)
    ]
    _, rule = max(found, key=lambda each: each[0])
    return {backend["name"]: backend["weight"] for backend in rule.get("backendRefs", [])}


def _rank(match: Document) -> tuple[int, int, bool]:
    order = ("PathPrefix", "RegularExpression", "Exact")
    return order.index(match["path"]["type"]), len(match["path"]["value"]), "method" in match


def _holds(path: Document, asked: str) -> bool:
    match path["type"]:
        case "Exact":
            return bool(asked == path["value"])
        case "RegularExpression":
            return re.fullmatch(path["value"], asked) is not None
        case _:
            return _below(path["value"], asked)


def behind_ingress(document: Document, path: str) -> str:
    """The Service to which a path of an Ingress leads: first an exact path counts, then the longest prefix."""
    [rule] = document["spec"]["rules"]
    found = [
        (each["pathType"] == "Exact", len(each["path"]), each["backend"]["service"]["name"])
        for each in rule["http"]["paths"]
        if (each["path"] == path if each["pathType"] == "Exact" else _below(each["path"], path))
    ]
    name: str = max(found)[2]
    return name


def _below(prefix: str, path: str) -> bool:
    """By whole segments."""
    stem = prefix.rstrip("/")
    return path == stem or path.startswith(f"{stem}/")
