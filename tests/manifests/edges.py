"""Which workload may speak to which, as the NetworkPolicies together allow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.manifests.kustomize import of_kind
from tests.manifests.operated import Operated, operated
from tests.manifests.workloads import Workload, matches, workloads

Edge = tuple[str, str, int]
Pods = Workload | Operated
# All ports on which something listens, and one on which nothing does.
PORTS = (
    80, 443, 3000, 3100, 4143, 4317, 4318, 4369, 5432, 5672, 6379, 8000, 8080, 8081, 9090, 9093, 9100, 9901,
    15672, 15692, 16686, 25672,
)  # fmt: skip


def edges(folder: str) -> set[Edge]:
    """(from, to, port) for each two workloads of a kustomization."""
    policies = of_kind(folder, "NetworkPolicy")
    found = _pods(folder)
    return {
        (one.name, other.name, port)
        for one in found
        for other in found
        for port in PORTS
        if _allowed(policies, "egress", one, other, port) and _allowed(policies, "ingress", other, one, port)
    }


def outside(folder: str, direction: str) -> set[tuple[str, str, int | None]]:
    """(workload, peer outside, port) that policies allow besides; None for any port."""
    return {
        (each.name, peer, port.get("port"))
        for each in _pods(folder)
        for policy in _of(of_kind(folder, "NetworkPolicy"), each)
        for rule in policy["spec"].get(direction) or []
        for port in rule.get("ports", [])
        for peer in _outsiders(rule, direction)
    }


def _pods(folder: str) -> list[Pods]:
    return [*workloads(folder), *operated(folder)]


def _outsiders(rule: Mapping[str, Any], direction: str) -> Iterator[str]:
    peers = rule.get("from" if direction == "ingress" else "to")
    if peers is None:
        yield "anywhere"
    for peer in peers or []:
        if "ipBlock" in peer:
            yield peer["ipBlock"]["cidr"]
        if "namespaceSelector" in peer:
            yield peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]


def _allowed(policies: list[dict[str, Any]], direction: str, subject: Pods, peer: Pods, port: int) -> bool:
    applying = [each for each in _of(policies, subject) if direction.capitalize() in each["spec"]["policyTypes"]]
    if not applying:
        return True
    return any(_permits(rule, direction, peer, port) for each in applying for rule in each["spec"].get(direction) or [])


def _of(policies: list[dict[str, Any]], subject: Pods) -> list[dict[str, Any]]:
    return [each for each in policies if matches(each["spec"]["podSelector"], subject.labels)]


def _permits(rule: Mapping[str, Any], direction: str, peer: Pods, port: int) -> bool:
    if not any(each.get("port", port) == port for each in rule["ports"]):
        return False
    peers = rule.get("from" if direction == "ingress" else "to")
    if peers is None:
        return True
    return any(
        "namespaceSelector" not in each and matches(each["podSelector"], peer.labels)
        for each in peers
        if "podSelector" in each
    )
