"""What a container may do, and what can be reached."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.compose.containers import Containers

PROJECTS = {"monolith": "monolith", **{name: f"services/{name}" for name in ("users", "products", "orders")}}
# The project that has no database.
FRONT = "storefront"
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
        assert 0 < host["PidsLimit"] <= 512, name


def test_processes_run_as_nobody_and_cannot_write(up: Containers) -> None:
    for service in ("monolith", "users-relay", "orders-worker", "strangler", "gateway", "rabbitmq", "postgres-users"):
        assert up.execute(service, "id", "-u").stdout.strip() != "0", service
        assert up.execute(service, "touch", "/tmp/here").returncode == 0, service
        for place in ("/here", "/app/here", "/run/secrets/here"):
            assert up.execute(service, "touch", place, code=None).returncode != 0, f"{service}: {place}"


def test_only_the_gateway_and_the_storefront_can_be_reached_and_only_from_this_machine(up: Containers) -> None:
    published = {
        name: [
            binding["HostIp"] for bindings in container["HostConfig"]["PortBindings"].values() for binding in bindings
        ]
        for name, container in up.inspect().items()
        if container["HostConfig"]["PortBindings"]
    }

    assert published == {"gateway": ["127.0.0.1"], FRONT: ["127.0.0.1"]}


def test_the_gateways_admin_lets_nobody_stop_it(up: Containers) -> None:
    script = (
        "import urllib3, sys\n"
        "ask = urllib3.PoolManager().request\n"
        "print(*(ask(method, 'http://gateway:9901' + path).status for method, path in "
        "[('GET', '/ready'), ('POST', '/quitquitquit'), ('GET', '/config_dump')]))"
    )

    assert up.execute("strangler", "python", "-c", script).stdout.split() == ["200", "403", "403"]


# By the folder that a container sees as /run/secrets, whose it is; `secrets` alone has all.
SEES = {
    **{f"{name}{kind}": f"app-{name}" for name in PROJECTS for kind in ("", "-migrate", "-relay")},
    **{f"{name}-worker": f"app-{name}" for name in ("monolith", "products", "orders")},
    **{f"postgres-{name}": f"server-{name}" for name in PROJECTS},
    **{"monolith-references": "app-monolith", "load": "app-monolith", "rabbitmq": "broker", "strangler": "mover"},
    **{"gateway-prepare": "agent", "gateway-agent": "agent", "gateway": None, FRONT: f"app-{FRONT}"},
}


def test_each_container_sees_its_own_secrets_and_no_others(up: Containers) -> None:
    kept = {f"{kind}-{name}" for kind in ("app", "server", "signing") for name in PROJECTS} | {
        f"app-{FRONT}",
        "broker",
        "mover",
        "agent",
        "secrets",
    }
    for service, container in up.inspect().items():
        volumes = {mount["Name"].partition("_")[2] for mount in container["Mounts"] if mount["Type"] == "volume"}
        if service != "secrets":
            signing = {f"signing-{service}"} if service in ("monolith", "users") else set()
            assert volumes & kept == ({SEES[service]} - {None}) | signing, service


def test_who_signs_tokens_has_the_key_and_nobody_else(up: Containers) -> None:
    seen = {name: set(up.execute(name, "ls", "/run/secrets").stdout.split()) for name in PROJECTS}
    public = {f"SERVICE_KEY_FILE.{name}.pub" for name in PROJECTS}
    own = {"BROKER_URL", "DATABASE_URL", "GATEWAY_TRACE_KEY", "LOG_KEY", "SECRET_KEY", "SERVICE_KEY_FILE", *public}

    assert seen == dict.fromkeys(PROJECTS, own)
    for name in ("monolith", "users"):
        assert up.execute(name, "ls", "/run/signing").stdout.split() == ["TOKEN_KEY_FILE"]
    for own_key in ("SERVICE_KEY_FILE", "SECRET_KEY"):
        keys = {up.execute(name, "cat", f"/run/secrets/{own_key}").stdout for name in PROJECTS}
        assert len(keys) == len(PROJECTS), own_key
    # By it the gateway knows calls of services.
    shared = {up.execute(name, "cat", "/run/secrets/GATEWAY_TRACE_KEY").stdout for name in (*PROJECTS, "gateway-agent")}
    assert len(shared) == 1


def test_the_storefront_has_what_it_signs_cookies_with_and_nothing_of_the_services(up: Containers) -> None:
    seen = set(up.execute(FRONT, "ls", "/run/secrets").stdout.split())

    assert seen == {"GATEWAY_TRACE_KEY", "LOG_KEY", "SECRET_KEY"}
    keys = {up.execute(name, "cat", "/run/secrets/SECRET_KEY").stdout for name in (*PROJECTS, FRONT)}
    assert len(keys) == len(PROJECTS) + 1


def test_people_see_the_shop_at_the_storefront(up: Containers) -> None:
    page = httpx.get(up.storefront, timeout=60)

    assert page.status_code == 200
    assert "What do you need today?" in page.text


def test_no_role_but_the_server_s_own_is_a_superuser(up: Containers) -> None:
    for name in PROJECTS:
        found = up.database(name).execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolcanlogin").fetchall()
        assert dict(found) == {
            "owner": True,
            "app": False,
            "mover": False,
            **({"agent": False} if name == "monolith" else {}),
        }
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert up.database(name).execute(owners).fetchall() == [("app",)]
        sessions = "SELECT DISTINCT usename FROM pg_stat_activity WHERE backend_type = 'client backend'"
        assert {who for (who,) in up.database(name).execute(sessions).fetchall()} <= {"owner", "app", "mover", "agent"}


def test_each_service_is_a_user_of_its_own_at_the_broker_and_may_use_its_own_queues(up: Containers) -> None:
    listed = up.execute("rabbitmq", "rabbitmqctl", "-q", "list_users", "--formatter", "json").stdout
    users = {user["user"]: user["tags"] for user in json.loads(listed)}
    listed = up.execute("rabbitmq", "rabbitmqctl", "-q", "list_connections", "user", "--formatter", "json").stdout

    assert users == {"owner": ["administrator"], **{name: [] for name in PROJECTS}}
    # A relay is connected while it has something to publish.
    assert {"monolith", "products", "orders"} <= {each["user"] for each in json.loads(listed)} <= set(PROJECTS)
    script = (
        "import sys; from kombu import Connection\n"
        "with Connection(open('/run/secrets/BROKER_URL').read()) as broker:\n"
        "    channel = broker.default_channel\n"
        "    channel.queue_declare('orders', passive=True)\n"
        "    getattr(channel, sys.argv[1])(sys.argv[2])\n"
    )
    for what, queue in (("queue_declare", "users.mine"), ("basic_get", "products.dead"), ("queue_purge", "products")):
        refused = up.execute("orders", "python", "-c", script, what, queue, code=None)
        assert "ACCESS_REFUSED" in refused.stderr, what
