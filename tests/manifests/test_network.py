"""The NetworkPolicies together: every way that is gone, and no other."""

from __future__ import annotations

from collections.abc import Iterator

from tests.manifests.edges import Edge, edges, outside
from tests.manifests.operated import operated
from tests.manifests.workloads import workloads

DATABASE, BROKER, GATEWAY, INTERNAL, WEB = 5432, 5672, 8080, 8081, 8000
# Of DNS, and of its pods in OpenShift and in Gardener.
NAMES = {53, 5353, 8053}
SERVICES = ("users", "products", "orders")
SIDES = ("monolith", *SERVICES)


def everywhere() -> Iterator[Edge]:
    """Whatever servers there are."""
    for side in SIDES:
        yield "gateway", side, WEB
        yield "strangler", side, WEB
    for service in SERVICES:
        # Sides forward requests that the gateway cannot repeat to each other, and ask for rows that are on their way.
        yield "monolith", service, WEB
        yield service, "monolith", WEB
        # Who deletes rows of the monolith sends deletions to the services.
        yield "monolith-worker", service, WEB
        yield "monolith-references", service, WEB
    # Published keys.
    for caller in ("products", "orders"):
        yield caller, "gateway", GATEWAY
    # Calls to other services, and a customer's address for a mail.
    for caller in ("orders", "orders-worker"):
        yield caller, "gateway", INTERNAL


def in_the_cluster() -> Iterator[Edge]:
    """To and between servers in the cluster."""
    for side in SIDES:
        for process in (side, f"{side}-relay", f"{side}-migrate"):
            yield process, f"postgres-{side}", DATABASE
        yield f"{side}-relay", "rabbitmq", BROKER
        yield "strangler", f"postgres-{side}", DATABASE
    for side in ("monolith", "products", "orders"):
        yield f"{side}-worker", f"postgres-{side}", DATABASE
        yield f"{side}-worker", "rabbitmq", BROKER
    yield "monolith-references", "postgres-monolith", DATABASE
    yield "gateway", "postgres-monolith", DATABASE
    for service in SERVICES:
        yield f"postgres-{service}", "postgres-monolith", DATABASE
        yield "postgres-monolith", f"postgres-{service}", DATABASE


def test_in_one_cluster_there_are_exactly_the_ways_that_are_gone() -> None:
    wanted = {*everywhere(), *in_the_cluster()}

    assert edges("tests/in-cluster") == wanted
    # A pod that may go anywhere for the API also reaches all pods that accept anybody.
    assert edges("overlays/local") == wanted | {
        ("load", "postgres-monolith", DATABASE),
        ("secrets", "gateway", GATEWAY),
    }


def test_with_managed_servers_pods_speak_to_each_other_less() -> None:
    assert edges("overlays/production") == set(everywhere())
    assert edges("overlays/staging") == set(everywhere())


def test_only_processes_with_a_database_and_those_of_messages_leave_the_cluster() -> None:
    leaving = {(one, port) for one, where, port in outside("overlays/production", "egress") if port not in NAMES}

    assert {one for one, port in leaving if port == DATABASE} == {
        each.name for each in workloads("overlays/production")
    }
    assert {one for one, port in leaving if port != DATABASE} == {
        each for each in _names("overlays/production") if each.endswith(("-worker", "-relay"))
    }


def test_everybody_but_the_broker_and_the_maker_of_secrets_asks_for_names(folder: str) -> None:
    asking = {(one, where, port) for one, where, port in outside(folder, "egress") if port in NAMES}

    # A proxy beside them asks for the mesh, and an operator's nodes of the broker look for each other by their names.
    others = set() if folder.startswith("tests/mesh-") else {"rabbitmq", "secrets"}
    named = _names(folder) - others | {each.name for each in operated(folder)}
    assert asking == {(one, "anywhere", port) for one in named for port in NAMES}


def test_only_the_maker_of_secrets_speaks_to_the_api_wherever_that_listens() -> None:
    leaving = {each for each in outside("overlays/local", "egress") if each[2] not in NAMES}

    assert leaving == {("secrets", "anywhere", None)}


def test_nobody_from_outside_comes_in_but_by_the_gateway_and_for_metrics() -> None:
    assert outside("overlays/local", "ingress") == {("gateway", "anywhere", GATEWAY)}
    measured = {one for one, who, _ in outside("overlays/production", "ingress") if who == "monitoring"}
    assert measured == {each.name for each in workloads("overlays/production", "Deployment")}


def test_the_storefront_lets_everybody_in_and_asks_the_gateway_alone() -> None:
    folder = "tests/storefront"

    assert edges(folder) - edges("overlays/local") == {
        ("storefront", "gateway", GATEWAY),
        ("secrets", "storefront", WEB),  # for the API it may go anywhere
    }
    assert ("storefront", "anywhere", WEB) in outside(folder, "ingress")
    assert {port for one, _, port in outside(folder, "egress") if one == "storefront"} == NAMES
    measured = {one for one, who, _ in outside(folder, "ingress") if who == "monitoring"}
    assert "storefront" in measured


def test_a_further_service_reaches_what_the_others_do() -> None:
    assert edges("tests/further-service") - edges("overlays/local") == {
        ("gateway", "invoices", WEB),
        ("strangler", "invoices", WEB),
        ("monolith", "invoices", WEB),
        ("monolith-worker", "invoices", WEB),
        ("monolith-references", "invoices", WEB),
        ("invoices", "monolith", WEB),
        ("invoices", "gateway", GATEWAY),
        *((process, "postgres-invoices", DATABASE) for process in ("invoices", "invoices-relay", "invoices-worker")),
        ("invoices-migrate", "postgres-invoices", DATABASE),
        ("invoices-relay", "rabbitmq", BROKER),
        ("invoices-worker", "rabbitmq", BROKER),
        ("strangler", "postgres-invoices", DATABASE),
        ("postgres-monolith", "postgres-invoices", DATABASE),
        ("postgres-invoices", "postgres-monolith", DATABASE),
    }


def _names(folder: str) -> set[str]:
    return {each.name for each in workloads(folder)}
