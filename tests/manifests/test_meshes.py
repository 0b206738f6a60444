"""The policies of a mesh are those of the NetworkPolicies: each way that is gone, by the caller's account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.manifests import meshes
from tests.manifests.edges import Edge, edges, outside
from tests.manifests.kustomize import of_kind
from tests.manifests.test_network import GATEWAY
from tests.manifests.workloads import workload, workloads

PLAIN = "overlays/local"
LINKERD, ISTIO = "tests/mesh-linkerd", "tests/mesh-istio"
KINDS_WITH_ACCOUNTS = ("MeshTLSAuthentication", "AuthorizationPolicy")
PROXY_OF_LINKERD = 4143


def through_the_mesh() -> set[Edge]:
    """All ways but those to the gateway, whose clients have no proxy."""
    return {edge for edge in edges(PLAIN) if edge[2] != GATEWAY}


def test_linkerd_allows_the_accounts_whose_ways_the_network_policies_allow() -> None:
    assert through_the_mesh()
    assert meshes.of_linkerd(LINKERD) == through_the_mesh()


def test_the_network_policies_let_the_proxies_of_linkerd_speak_where_their_processes_do() -> None:
    pairs = {(one, other) for one, other, _ in through_the_mesh()}

    assert edges(LINKERD) == edges(PLAIN) | {(one, other, PROXY_OF_LINKERD) for one, other in pairs}


def test_each_server_of_linkerd_has_pods_which_listen_there_and_none_shares_its_port() -> None:
    found = [
        (each.name, port) for server in of_kind(LINKERD, "Server") for each, port in meshes.listeners(LINKERD, server)
    ]

    assert len(found) == len(set(found))
    assert {
        server["metadata"]["name"]
        for server in of_kind(LINKERD, "Server")
        if not list(meshes.listeners(LINKERD, server))
    } == set()
    opaque = {
        port
        for server in of_kind(LINKERD, "Server")
        if server["spec"]["proxyProtocol"] == "opaque"
        for _, port in meshes.listeners(LINKERD, server)
    }
    [namespace] = of_kind(LINKERD, "Namespace")
    assert opaque <= {
        int(port) for port in namespace["metadata"]["annotations"]["config.linkerd.io/opaque-ports"].split(",")
    }


def test_linkerd_denies_what_no_policy_names_and_lets_jobs_end() -> None:
    [namespace] = of_kind(LINKERD, "Namespace")
    annotations = namespace["metadata"]["annotations"]

    assert annotations["config.linkerd.io/default-inbound-policy"] == "deny"
    assert annotations["config.linkerd.io/proxy-enable-native-sidecar"] == "true"
    assert not of_kind(LINKERD, "NetworkAuthentication")


def test_clients_reach_envoy_itself_with_linkerd() -> None:
    gateway = workload(LINKERD, "gateway")
    skipped = gateway.resource["spec"]["template"]["metadata"]["annotations"]["config.linkerd.io/skip-inbound-ports"]

    assert skipped == str(GATEWAY)
    others = [each for each in workloads(LINKERD) if each.name != "gateway"]
    assert not [each.name for each in others if "skip" in str(each.spec["template"]["metadata"].get("annotations"))]


def test_istio_allows_the_accounts_whose_ways_the_network_policies_allow() -> None:
    assert meshes.of_istio(ISTIO) == through_the_mesh()


def test_the_proxies_of_istio_speak_at_the_ports_of_their_processes() -> None:
    assert edges(ISTIO) == edges(PLAIN)


def test_istio_denies_what_no_policy_names_and_takes_no_connection_without_an_identity() -> None:
    [strict] = of_kind(ISTIO, "PeerAuthentication")
    nobody = [each for each in of_kind(ISTIO, "AuthorizationPolicy") if "selector" not in each["spec"]]

    assert strict["metadata"]["name"] == "default"
    assert strict["spec"] == {"mtls": {"mode": "STRICT"}}
    assert [each["spec"] for each in nobody] == [{}]


def test_clients_reach_envoy_itself_with_istio_and_callers_in_the_mesh_know_it() -> None:
    annotation = "traffic.sidecar.istio.io/excludeInboundPorts"
    excluded = {
        each.name: each.spec["template"]["metadata"]["annotations"][annotation]
        for each in workloads(ISTIO)
        if annotation in each.spec["template"]["metadata"]["annotations"]
    }
    [rule] = of_kind(ISTIO, "DestinationRule")

    assert excluded == {"gateway": str(GATEWAY)}
    assert rule["spec"] == {"host": "gateway", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}


def test_istio_carries_bytes_and_its_proxies_let_jobs_end() -> None:
    assert {service["spec"]["ports"][0]["appProtocol"] for service in of_kind(ISTIO, "Service")} == {"tcp"}
    assert {
        each.spec["template"]["metadata"]["annotations"]["sidecar.istio.io/nativeSidecar"] for each in workloads(ISTIO)
    } == {"true"}


@pytest.mark.parametrize("mesh", [LINKERD, ISTIO])
def test_each_account_that_a_policy_names_is_that_of_a_workload(mesh: str) -> None:
    named = {account for policy in of_kind(mesh, *KINDS_WITH_ACCOUNTS) for account in _accounts(policy["spec"])}

    assert len(named) > 15
    assert named <= {each.pod["serviceAccountName"] for each in workloads(mesh)}


def _accounts(spec: dict[str, Any]) -> Iterator[str]:
    yield from (each["name"] for each in spec.get("identityRefs", []))
    for rule in spec.get("rules", []):
        for source in rule["from"]:
            yield from source["source"].get("serviceAccounts", [])


@pytest.mark.parametrize("mesh", [LINKERD, ISTIO])
def test_who_asks_for_metrics_may_do_so_where_the_network_policies_allow_it(mesh: str) -> None:
    asked = {(one, port) for one, who, port in outside(mesh, "ingress") if who == "monitoring"} - {
        (each.name, port) for each in workloads(mesh) for port in (PROXY_OF_LINKERD, *_closed(each.component))
    }

    assert asked == meshes.measured(mesh)


def _closed(component: str) -> set[int]:
    """Of the ports that the NetworkPolicy names for all, that at which this process does not listen."""
    return {9100} if component == "web" else {8000}
