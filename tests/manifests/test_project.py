"""The manifests beside strangler.toml: the same processes, and an address for all that it leaves to the environment."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from strangler.cli import agent

from tests.manifests.kustomize import ROOT, of_kind
from tests.manifests.workloads import Workload, workload, workloads

PROJECT = tomllib.loads((ROOT / "strangler.toml").read_text())
# Settings of a stack on one machine, and of a trial: the overlay has them for a cluster of one's own.
LOCAL = "overlays/local"
# The same with the component for the process that has no database.
FRONT = "tests/storefront"


@pytest.mark.parametrize("name", PROJECT["processes"])
def test_each_process_is_a_deployment_with_the_same_command(name: str) -> None:
    process = PROJECT["processes"][name]
    # Web pods leave it to the image, or a tag could not go back to one that is served in another way.
    command = workload(_where(process), name).container("app").get("command") or _image_command(process["directory"])

    assert _words(command) == _words(process["command"])


def _where(process: Mapping[str, Any]) -> str:
    return LOCAL if "database" in process else FRONT


def _image_command(directory: str) -> list[str]:
    last = (ROOT / directory / "Dockerfile").read_text().splitlines()[-1]
    command: list[str] = json.loads(last.removeprefix("CMD "))
    return command


def _words(command: list[str]) -> set[str]:
    """The command's words, wherever they stand and however values are tied to options; a worker's own name aside."""
    words = [word for part in command for word in part.split("=", 1)]
    return {word for word in words if not word.endswith("@%h")}


@pytest.mark.parametrize("name", [name for name, each in PROJECT["processes"].items() if "migrate" in each])
def test_each_migration_is_a_job(name: str) -> None:
    job = workload(LOCAL, f"{name}-migrate", "Job")

    assert job.container("app")["command"] == PROJECT["processes"][name]["migrate"]


def test_each_process_has_its_own_database_or_none() -> None:
    for name, process in PROJECT["processes"].items():
        if "database" not in process:
            told = {each["name"] for each in workload(FRONT, name).container("app")["env"]}
            assert not {"DATABASE_URL", "BROKER_URL", "INTERNAL_URL", "SERVICE_KEY_FILE"} & told
            continue
        assert _secret_of(workload(LOCAL, name), "DATABASE_URL") == f"app-{process['database']}"
        assert _secret_of(workload(LOCAL, name), "BROKER_URL") == f"broker-{process['database']}"


def test_the_tool_has_every_address() -> None:
    strangler = workload(LOCAL, "strangler")
    addresses = _config_map("addresses")

    for name, database in PROJECT["databases"].items():
        assert _secret_of(strangler, database["url_env"]) == f"mover-{name}"
    for name, process in PROJECT["processes"].items():
        if "address_env" in process:
            assert addresses[process["address_env"]] == f"http://{name}:8000"
    assert addresses[PROJECT["gateway"]["address_env"]] == "http://gateway"
    assert addresses[PROJECT["gateway"]["internal_address_env"]] == "http://gateway-internal"
    # Each Envoy's admin is for its own pod; the agent there knows it.
    assert PROJECT["gateway"]["admin_env"] not in addresses


def test_services_ask_each_other_where_nobody_from_outside_is_led(folder: str) -> None:
    public, internal = (
        next(each for each in of_kind(folder, "Service") if each["metadata"]["name"] == name)
        for name in ("gateway", "gateway-internal")
    )

    assert internal["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert {port["targetPort"] for port in public["spec"]["ports"]} == {"http"}
    assert {port["targetPort"] for port in internal["spec"]["ports"]} == {"internal"}
    for each in workloads(folder, "Deployment"):
        if each.component in {"web", "worker", "relay", "references"}:
            told = {name["name"]: name.get("value") for name in each.container("app")["env"]}
            assert told["INTERNAL_URL"] == "http://gateway-internal", each.name
    # Django answers only for names that it knows.
    names = _config_map("environment", folder)["ALLOWED_HOSTS"].split(",")
    assert {"gateway-internal", "*"} & set(names)


def test_the_gateway_listens_for_services_where_the_agent_tells_it() -> None:
    ports = {each["name"]: each["containerPort"] for each in workload(LOCAL, "gateway").container("envoy")["ports"]}
    defaults = {option.name: option.default for option in agent.command.params}

    assert defaults["listen"] == f"0.0.0.0:{ports['http']}"
    assert defaults["listen_internal"] == f"0.0.0.0:{ports['internal']}"


def test_the_gateway_knows_of_no_database_but_the_ledger() -> None:
    gateway = workload(LOCAL, "gateway")
    ledger = PROJECT["databases"][PROJECT["project"]["ledger"]]["url_env"]

    for container in ("prepare", "agent"):
        secrets = {
            each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
            for each in gateway.container(container)["env"]
            if "valueFrom" in each
        }
        # The other is no way to a database: by it the gateway knows calls of services.
        assert secrets == {ledger: f"agent-{PROJECT['project']['ledger']}", "GATEWAY_TRACE_KEY": "application"}


@pytest.mark.parametrize("overlay", ["overlays/production", "overlays/staging"])
def test_where_a_balancer_is_in_front_the_gateway_is_told_how_many_proxies_to_trust(overlay: str) -> None:
    addresses = _config_map("addresses", overlay)
    assert PROJECT["gateway"]["trusted_hops_env"] in addresses
    # Without that number a limit would hold for all clients together.
    assert {limit["rate_env"] for limit in PROJECT["gateway"]["limits"].values()} <= addresses.keys()

    gateway = workload(overlay, "gateway")
    for container in ("prepare", "agent"):
        named = [each["configMapRef"]["name"] for each in gateway.container(container)["envFrom"]]
        assert any(name.startswith("addresses-") for name in named)


def test_a_trial_is_as_easy_on_passwords_and_callers_as_a_local_stack() -> None:
    settings = _config_map("environment")
    services = [process for process in PROJECT["processes"].values() if "database" in process]
    wanted = {key: value for process in services for key, value in _environment(process)}

    assert wanted.items() <= settings.items()
    storefront = PROJECT["processes"]["storefront"]["environment"]
    assert storefront.items() <= _config_map("storefront", FRONT).items()


def _environment(process: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from process.get("environment", {}).items()


def test_the_sample_is_the_one_of_a_local_stack() -> None:
    loader = PROJECT["loader"]
    command = workload(LOCAL, "load", "Job").container("app")["command"]

    assert command == [*loader["command"], *loader["sample"], "--if-empty"]


def test_each_in_cluster_server_has_the_settings_that_a_move_asks_for() -> None:
    servers = {each.name: each for each in workloads(LOCAL, "StatefulSet") if each.component == "database"}

    assert set(servers) == {f"postgres-{name}" for name in PROJECT["databases"]}
    for server in servers.values():
        given = dict(argument.removeprefix("--").split("=") for argument in server.container("postgres")["args"][1:])
        moves = len(PROJECT["capabilities"])
        assert given["wal_level"] == "logical"
        assert int(given["max_replication_slots"]) >= moves + 6
        assert int(given["max_wal_senders"]) >= moves + 1
        assert int(given["max_logical_replication_workers"]) >= moves


def test_web_pods_leave_their_database_connections_for_others() -> None:
    server = workload(LOCAL, "postgres-users", "StatefulSet").container("postgres")
    given = dict(argument.removeprefix("--").split("=") for argument in server["args"][1:])
    pods = max(scaler["spec"]["maxReplicas"] for scaler in of_kind(LOCAL, "HorizontalPodAutoscaler"))

    threads_of_a_pod = 2 * 32
    assert int(given["max_connections"]) > (pods + 1) * threads_of_a_pod


def _secret_of(each: Workload, variable: str) -> str:
    for container in each.containers:
        for found in container["env"]:
            if found["name"] == variable:
                secret: str = found["valueFrom"]["secretKeyRef"]["name"]
                return secret
    raise AssertionError(f"{each.name} has no {variable}")


def _config_map(wanted: str, overlay: str = LOCAL) -> dict[str, str]:
    found = next(each for each in of_kind(overlay, "ConfigMap") if each["metadata"]["name"].startswith(f"{wanted}-"))
    data: dict[str, str] = found["data"]
    return data
