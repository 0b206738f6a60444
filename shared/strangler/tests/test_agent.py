"""`strangler agent`: a real one, beside a real Envoy, behind a real ledger."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from envoys import Request, Side, eventually, says
from gatekeeper import Gatehouse, terminate
from servers import Cluster
from strangler.adapters import envoy
from strangler.domain.project import MONOLITH, SERVICE

pytest.importorskip("envoy")

DATABASE = "gatehouse"


@pytest.fixture
def house(cluster: Cluster, tmp_path: Path) -> Iterator[Gatehouse]:
    cluster.create(DATABASE)
    sides = {MONOLITH: Side("web", says("monolith")), SERVICE: Side("things", says("service"))}
    for side in sides.values():
        side.start()
    yield Gatehouse(tmp_path, cluster, DATABASE, sides)
    for side in sides.values():
        side.stop()
    cluster.drop(DATABASE)


def version(house: Gatehouse) -> str:
    """The identity of the file of routes."""
    return str(json.loads((house.files / envoy.ROUTES_FILE).read_text())["version_info"])


def test_before_any_move_a_gateway_is_prepared_for_the_monolith(house: Gatehouse) -> None:
    told = house.prepare()

    [line] = [line for line in map(json.loads, told.splitlines()) if line["event"] == "prepared"]
    assert (line["folder"], line["routes"]) == (str(house.files), "untouched")
    with house.envoy():
        assert house.get() == "monolith"


def test_after_a_move_a_gateway_starts_with_the_present_routes_though_the_monolith_is_gone(house: Gatehouse) -> None:
    house.give_to(SERVICE)
    house.sides[MONOLITH].stop()

    house.prepare(WEB_URL="http://no-such-host.invalid:8000")

    with house.envoy():
        assert house.get() == "service"
    house.sides[MONOLITH].start()


def test_another_user_can_read_what_was_prepared(house: Gatehouse) -> None:
    with house.start("--prepare", umask=0o077) as process:
        process.communicate(timeout=60)

    for path in [house.files, *house.files.iterdir()]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_nothing_is_prepared_before_the_ledger_can_be_asked(house: Gatehouse) -> None:
    house.give_to(SERVICE)
    house.shut_ledger(shut=True)
    with house.start("--prepare") as process:
        assert process.stdout is not None
        assert "cannot connect" in process.stdout.readline()
        assert not house.files.exists()
        house.shut_ledger(shut=False)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert version(house) == "things@2:service"


def test_told_to_end_before_it_is_prepared_it_says_that_it_is_not(house: Gatehouse) -> None:
    house.shut_ledger(shut=True)
    with house.start("--prepare") as process:
        assert process.stdout is not None
        process.stdout.readline()
        terminate(process)
    house.shut_ledger(shut=False)

    assert process.returncode == 1


def test_prepared_again_the_files_are_what_the_ledger_says(house: Gatehouse) -> None:
    house.prepare()
    house.give_to(SERVICE)

    house.prepare()
    assert version(house) == "things@2:service"

    house.prepare()
    assert version(house) == "things@2:service"
    assert sorted(path.name for path in house.files.iterdir()) == ["bootstrap.json", "cds.json", "rds.json"]


def test_a_gateway_follows_the_ledger(house: Gatehouse) -> None:
    with house.agent(), prepared_envoy(house):
        house.await_ready()
        assert house.get() == "monolith"

        house.give_to(SERVICE)

        eventually(lambda: house.get() == "service")
        eventually(lambda: any(told["things"] == 2 for told in house.agents().values()))


@contextmanager
def prepared_envoy(house: Gatehouse) -> Iterator[None]:
    """Starts Envoy as soon as that is possible."""
    eventually((house.files / envoy.BOOTSTRAP_FILE).exists, 30)
    with house.envoy():
        yield


def test_where_processes_ask_each_other_a_gateway_follows_the_ledger_too(house: Gatehouse) -> None:
    house.hide()
    with house.agent(), prepared_envoy(house):
        house.await_ready()
        assert house.get(house.internal_port) == "monolith"

        house.give_to(SERVICE)

        eventually(lambda: house.get(house.internal_port) == "service")
        assert json.loads(house.get()) == {"detail": "Not found."}


def test_two_listeners_at_one_port_are_refused_before_anything_is_written(house: Gatehouse) -> None:
    house.hide()
    house.internal_port = house.port

    with house.start("--prepare") as process:
        told = process.communicate(timeout=60)[0]

    assert process.returncode == 2
    assert f"--listen-internal and --listen name the same port, {house.port}" in told
    assert not house.files.exists()


def test_an_older_table_that_somebody_puts_there_is_replaced(house: Gatehouse) -> None:
    house.prepare()
    old = json.loads((house.files / envoy.ROUTES_FILE).read_text())
    house.give_to(SERVICE)
    with house.agent(), prepared_envoy(house):
        house.await_ready()

        envoy.files.replace(house.files, envoy.ROUTES_FILE, old)

        eventually(lambda: version(house) == "things@2:service" and house.get() == "service", 20)


def test_it_answers_for_its_health_from_the_beginning(house: Gatehouse) -> None:
    house.shut_ledger(shut=True)
    with house.agent():
        eventually(lambda: house.health("/healthz") == (200, "ok"), 30)
        assert house.health("/readyz") == (503, "the present routes are not live yet")
        house.shut_ledger(shut=False)
        with prepared_envoy(house):
            house.await_ready()
            assert "python_info" in house.health("/metrics")[1]


def test_a_ledger_that_is_away_makes_no_gateway_unready(house: Gatehouse) -> None:
    with house.agent() as agent, prepared_envoy(house):
        house.await_ready()
        house.shut_ledger(shut=True)
        assert agent.stdout is not None
        eventually(lambda: "the server went away" in agent.stdout.readline())

        assert (house.health("/readyz"), house.health("/healthz")) == ((200, "ok"), (200, "ok"))
        assert house.get() == "monolith"

        house.shut_ledger(shut=False)
        house.give_to(SERVICE)
        eventually(lambda: house.get() == "service", 20)


def test_a_gateway_that_is_away_is_not_ready_and_starts_again_with_the_present_routes(house: Gatehouse) -> None:
    with house.agent():
        with prepared_envoy(house):
            house.await_ready()
        assert house.health("/readyz")[0] == 503

        house.give_to(SERVICE)
        eventually(lambda: version(house) == "things@2:service")

        with house.envoy():
            assert house.get() == "service"
            house.await_ready()


def test_told_to_end_it_has_clients_leave_and_nobody_waits_for_it(house: Gatehouse) -> None:
    with house.agent() as agent, prepared_envoy(house):
        house.await_ready()
        client = http.client.HTTPConnection("127.0.0.1", house.port)
        assert kept_open(client)
        eventually(lambda: bool(house.agents()))

        terminate(agent)

        assert agent.returncode == 0
        assert house.agents() == {}
        assert not kept_open(client)
        assert house.get() == "monolith"


def test_an_agent_that_comes_back_lets_clients_stay(house: Gatehouse) -> None:
    with house.agent() as agent, prepared_envoy(house):
        house.await_ready()
        terminate(agent)
        with house.agent():
            house.await_ready()

            assert kept_open(http.client.HTTPConnection("127.0.0.1", house.port))


def test_it_follows_the_ledger_while_a_request_is_under_way(house: Gatehouse) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(_: Request) -> tuple[int, dict[str, str], bytes]:
        begun.set()
        go_on.wait(20)
        return 200, {}, b"monolith"

    house.sides[MONOLITH].reply = answer
    told: list[str] = []
    with house.agent() as agent, prepared_envoy(house):
        house.await_ready()
        client = threading.Thread(target=lambda: told.append(house.get()))
        client.start()
        begun.wait(20)
        house.sides[MONOLITH].reply = says("monolith")
        agent.send_signal(signal.SIGTERM)
        eventually(lambda: house.health("/readyz") == (503, "leaving"))

        house.give_to(SERVICE)

        eventually(lambda: house.get() == "service")
        go_on.set()
        client.join()
        terminate(agent)
    assert told == ["monolith"]


def test_an_admin_port_that_others_reach_shows_statistics_and_obeys_nobody(house: Gatehouse) -> None:
    admin = f"http://127.0.0.1:{house.admin_port}"
    with house.agent("--admin", f"0.0.0.0:{house.admin_port}", ADMIN=admin) as agent, prepared_envoy(house):
        house.await_ready()
        assert urllib3.request("GET", f"{admin}/stats").status == 200
        assert urllib3.request("POST", f"{admin}/quitquitquit").status == 403
        assert urllib3.request("GET", f"{admin}/config_dump").status == 403

        told = terminate(agent)

        assert (agent.returncode, "403" in told) == (0, False)
        assert house.agents() == {}
        assert kept_open(http.client.HTTPConnection("127.0.0.1", house.port))


def kept_open(client: http.client.HTTPConnection) -> bool:
    """Sends one request; returns whether the next may use the same connection."""
    client.request("GET", "/things")
    answer = client.getresponse()
    answer.read()
    return answer.getheader("connection") != "close"


def test_a_gateway_believes_as_many_proxies_as_the_environment_says(house: Gatehouse) -> None:
    house.prepare(HOPS="1")

    with house.envoy():
        urllib3.request(
            "GET", f"http://127.0.0.1:{house.port}/things", headers={"x-forwarded-for": "192.0.2.1, 203.0.113.7"}
        )

    assert house.sides[MONOLITH].requests[-1].headers["x-forwarded-for"] == "203.0.113.7"


def test_a_number_of_proxies_that_cannot_be_ends_it_at_once(house: Gatehouse) -> None:
    with house.start("--prepare", HOPS="some") as process:
        told = process.communicate(timeout=30)[0]

    assert process.returncode == 2
    assert "gateway.trusted_hops_env" in told
    assert "HOPS holds no such number" in told
    assert not house.files.exists()


def test_a_place_is_a_host_and_a_port(house: Gatehouse) -> None:
    for place in ("8080", "host:port", "host:99999"):
        with house.start("--prepare", "--listen", place) as process:
            assert "is not a place" in process.communicate(timeout=30)[0]
        assert process.returncode == 2
