"""What a container may do, and what can be reached."""

from __future__ import annotations

from typing import Any

from tests.compose.containers import Containers

PROJECTS = {"monolith": "monolith", **{name: f"services/{name}" for name in ("users", "products", "orders")}}
# They do once what they are for.
ONE_SHOTS = {"secrets", "gateway-prepare", "load", *(f"{name}-migrate" for name in PROJECTS)}


def test_every_server_is_healthy_and_every_one_shot_has_ended_well(up: Containers) -> None:
    found = {name: each["State"] for name, each in up.inspect().items()}

    assert {name for name, state in found.items() if state["Status"] == "exited"} == ONE_SHOTS
    assert not [name for name in ONE_SHOTS if found[name]["ExitCode"] != 0]
    assert {state["Health"]["Status"] for name, state in found.items() if name not in ONE_SHOTS} == {"healthy"}


def test_every_container_is_nobody_and_may_do_nothing(up: Containers) -> None:
    for name, container in up.inspect().items():
        host: dict[str, Any] = container["HostConfig"]
        assert container["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name


def test_processes_run_as_nobody_and_cannot_write(up: Containers) -> None:
    for service in ("monolith", "users-relay", "orders-worker", "strangler", "gateway", "rabbitmq", "postgres-users"):
        assert up.execute(service, "id", "-u").stdout.strip() != "0", service
        assert up.execute(service, "touch", "/tmp/here").returncode == 0, service
        for place in ("/here", "/app/here", "/run/secrets/here"):
            assert up.execute(service, "touch", place, code=None).returncode != 0, f"{service}: {place}"


def test_only_the_gateway_can_be_reached_and_only_from_this_machine(up: Containers) -> None:
    published = {
        name: [
            binding["HostIp"] for bindings in container["HostConfig"]["PortBindings"].values() for binding in bindings
        ]
        for name, container in up.inspect().items()
        if container["HostConfig"]["PortBindings"]
    }

    assert published == {"gateway": ["127.0.0.1"]}


def test_the_gateways_admin_lets_nobody_stop_it(up: Containers) -> None:
    script = (
        "import urllib3, sys\n"
        "ask = urllib3.PoolManager().request\n"
        "print(*(ask(method, 'http://gateway:9901' + path).status for method, path in "
        "[('GET', '/ready'), ('POST', '/quitquitquit'), ('GET', '/config_dump')]))"
    )

    assert up.execute("strangler", "python", "-c", script).stdout.split() == ["200", "403", "403"]
