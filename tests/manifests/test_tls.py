"""The certificate of the component `tls`, and who uses it."""

from __future__ import annotations

import pytest

from tests.manifests.kustomize import Resource, of_kind

FOLDERS = ("tests/tls", "tests/tls-ingress")


@pytest.mark.parametrize("combination", FOLDERS)
def test_who_is_in_front_shows_the_certificate_and_has_the_names_that_are_in_it(combination: str) -> None:
    [certificate] = of_kind(combination, "Certificate")
    spec = certificate["spec"]

    for shown in of_kind(combination, "Gateway", "Ingress"):
        for secret, names in _shown(shown):
            assert secret == spec["secretName"]
            assert names == set(spec["dnsNames"])
    for route in of_kind(combination, "HTTPRoute"):
        assert set(route["spec"]["hostnames"]) == set(spec["dnsNames"])


def _shown(front: Resource) -> list[tuple[str, set[str]]]:
    if front["kind"] == "Ingress":
        assert {rule["host"] for rule in front["spec"]["rules"]} == {
            host for tls in front["spec"]["tls"] for host in tls["hosts"]
        }
        return [(tls["secretName"], set(tls["hosts"])) for tls in front["spec"]["tls"]]
    return [
        (reference["name"], {listener["hostname"]})
        for listener in front["spec"]["listeners"]
        if listener["protocol"] == "HTTPS"
        for reference in listener["tls"]["certificateRefs"]
    ]


@pytest.mark.parametrize("combination", FOLDERS)
def test_the_processes_answer_to_these_names_and_the_gateway_trusts_one_proxy_more(combination: str) -> None:
    [certificate] = of_kind(combination, "Certificate")
    settings = {each["metadata"]["name"].rpartition("-")[0]: each["data"] for each in of_kind(combination, "ConfigMap")}

    assert set(certificate["spec"]["dnsNames"]) <= set(settings["environment"]["ALLOWED_HOSTS"].split(","))
    assert settings["addresses"]["GATEWAY_TRUSTED_HOPS"] == "1"


def test_each_listener_has_a_route_and_that_without_tls_only_redirects() -> None:
    [gateway] = of_kind("tests/tls", "Gateway")
    routes = {
        parent["sectionName"]: route["spec"]["rules"]
        for route in of_kind("tests/tls", "HTTPRoute")
        for parent in route["spec"]["parentRefs"]
        if parent["name"] == gateway["metadata"]["name"]
    }

    assert set(routes) == {listener["name"] for listener in gateway["spec"]["listeners"]}
    assert all("backendRefs" not in rule for rule in routes["http"])
    assert all("backendRefs" in rule for rule in routes["https"])


def test_each_route_leads_to_a_port_that_the_service_has() -> None:
    ports = {
        (service["metadata"]["name"], port["port"])
        for service in of_kind("tests/tls", "Service")
        for port in service["spec"]["ports"]
    }

    for route in of_kind("tests/tls", "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            assert {(each["name"], each["port"]) for each in rule.get("backendRefs", [])} <= ports
