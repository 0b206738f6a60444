"""Which account may speak to which workload, as the policies of a mesh allow it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.manifests.edges import Edge
from tests.manifests.kustomize import Resource, of_kind
from tests.manifests.workloads import Workload, matches, workloads


def of_linkerd(folder: str) -> set[Edge]:
    """Server, AuthorizationPolicy and MeshTLSAuthentication together; the caller is a workload's name."""
    callers = _by_account(folder)
    servers = {each["metadata"]["name"]: each for each in of_kind(folder, "Server")}
    known = {each["metadata"]["name"]: each for each in of_kind(folder, "MeshTLSAuthentication")}
    return {
        (callers[account], workload.name, port)
        for policy in of_kind(folder, "AuthorizationPolicy")
        for workload, port in listeners(folder, servers[policy["spec"]["targetRef"]["name"]])
        for account in _accounts([known[each["name"]] for each in policy["spec"]["requiredAuthenticationRefs"]])
    }


def _accounts(required: list[Resource]) -> Iterator[str]:
    [authentication] = required  # several would have to hold together
    yield from (each["name"] for each in authentication["spec"].get("identityRefs", []))


def listeners(folder: str, server: Resource) -> Iterator[tuple[Workload, int]]:
    """The workloads that a Server selects, each with the number of the port."""
    for each in workloads(folder):
        if matches(server["spec"]["podSelector"], each.labels):
            for name, number in ports(each):
                if server["spec"]["port"] in (name, number):
                    yield each, number


def of_istio(folder: str) -> set[Edge]:
    """Each AuthorizationPolicy that allows accounts; one without rules allows nobody."""
    callers = _by_account(folder)
    return {
        (callers[account], each.name, int(port))
        for policy in of_kind(folder, "AuthorizationPolicy")
        for each in workloads(folder)
        if matches(policy["spec"].get("selector", {}), each.labels)
        for rule in policy["spec"].get("rules", [])
        for source in rule["from"]
        for account in source["source"].get("serviceAccounts", [])
        for to in rule["to"]
        for port in to["operation"]["ports"]
    }


def measured(folder: str) -> set[tuple[str, int]]:
    """(workload, port) at which the Prometheus of another namespace may ask."""
    known = {each["metadata"]["name"]: each["spec"] for each in of_kind(folder, "MeshTLSAuthentication")}
    servers = {each["metadata"]["name"]: each for each in of_kind(folder, "Server")}
    found = set()
    for policy in of_kind(folder, "AuthorizationPolicy"):
        spec = policy["spec"]
        if "targetRef" in spec:
            [authentication] = spec["requiredAuthenticationRefs"]
            if any(each.startswith("*.monitoring.") for each in known[authentication["name"]].get("identities", [])):
                found |= {(each.name, port) for each, port in listeners(folder, servers[spec["targetRef"]["name"]])}
        for rule in spec.get("rules", []):
            if any("monitoring" in source["source"].get("namespaces", []) for source in rule["from"]):
                asked = {int(port) for to in rule["to"] for port in to["operation"]["ports"]}
                found |= {
                    (each.name, port)
                    for each in workloads(folder)
                    if matches(spec["selector"], each.labels)
                    for port in asked
                }
    return found


def ports(each: Workload) -> Iterator[tuple[str, int]]:
    for container in each.containers:
        yield from ((port["name"], port["containerPort"]) for port in container.get("ports", []))


def _by_account(folder: str) -> dict[Any, str]:
    return {each.pod["serviceAccountName"]: each.name for each in workloads(folder)}
