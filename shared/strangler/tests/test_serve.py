"""`strangler serve`: of several processes one works; and its loops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from envoys import eventually, free_port
from gatekeeper import FILE, terminate
from servers import Cluster
from strangler.adapters import logs
from strangler.cli import rounds as looping
from strangler.cli.rounds import Rounds
from strangler.domain.errors import StackError


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rounds]:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(looping, "RETRY_SECONDS", 0)
    monkeypatch.setattr(logs, "serve", lambda: None)  # it is for a whole process
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Rounds()
    yield made
    made.stop.set()
    for number, handler in before.items():
        signal.signal(number, handler)


def turns(rounds: Rounds, *errors: StackError | None) -> Callable[[], None]:
    """A turn that raises these one after another, and then ends the loop."""
    tries = iter(errors)

    def turn() -> None:
        error = next(tries, rounds)
        if error is rounds:
            rounds.stop.set()
        elif isinstance(error, StackError):
            raise error

    return turn


def test_a_loop_that_fails_ends_the_process(rounds: Rounds, capsys: pytest.CaptureFixture[str]) -> None:
    def turn() -> None:
        raise ZeroDivisionError("a mistake")

    rounds.go("mistaken", turn)

    with pytest.raises(SystemExit) as caught:
        rounds.until_told()
    assert caught.value.code == 1
    [line] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["event"], line["level"]) == ("crashed", "critical")
    assert "a mistake" in line["exception"]


def test_a_server_that_is_away_is_waited_for_and_told_once(rounds: Rounds, capsys: pytest.CaptureFixture[str]) -> None:
    rounds.go("waiting", turns(rounds, StackError("away"), StackError("away"), None, StackError("away")))

    rounds.until_told()

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["loop"], line["reason"]) for line in told] == [("turn_failed", "waiting", "away")] * 2


def test_told_to_end_it_ends_each_loop_in_order(rounds: Rounds) -> None:
    ended: list[str] = []
    rounds.go("one", lambda: None, at_the_end=lambda: ended.append("one"))
    rounds.go("two", lambda: None, at_the_end=lambda: ended.append("two"))

    os.kill(os.getpid(), signal.SIGTERM)
    rounds.until_told()

    assert sorted(ended) == ["one", "two"]


def test_a_loop_that_stands_is_named(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    rounds.go("stuck", lambda: bool(go_on.wait(30)) and None)
    rounds.go("turning", lambda: None)
    assert rounds.standing() is None

    monkeypatch.setattr(looping, "STANDING_SECONDS", 0.3)

    eventually(lambda: (rounds.standing() or "").endswith(": stuck"))
    go_on.set()


OLD, NEW = "old_served", "new_served"


class Server:
    """A process of ``strangler serve --no-agent``, and its port."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.told: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.told.extend(iter(self.process.stdout.readline, ""))

    def says(self, words: str) -> bool:
        return any(words in line for line in self.told)

    def answers(self, path: str) -> tuple[int, str]:
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", retries=False)
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode()


@pytest.fixture
def start(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Callable[[], Server]]:
    one, two = clusters
    one.create(OLD)
    two.create(NEW)
    (tmp_path / "strangler.toml").write_text(FILE)
    environment = {
        **os.environ,
        "STRANGLER_CONFIG": str(tmp_path / "strangler.toml"),
        # Nothing is written: a container's root is read-only.
        "STRANGLER_STATE": "/proc/nowhere",
        "OLD_URL": one.dsn(OLD),
        "NEW_URL": two.dsn(NEW),
        "WEB_URL": "http://web",
        "THINGS_URL": "http://things",
    }
    servers: list[Server] = []

    def make() -> Server:
        port = free_port()
        command = [sys.executable, "-m", "strangler.cli.main", "serve", "--no-agent"]
        process = subprocess.Popen(
            command, env={**environment, "METRICS_PORT": str(port)}, stdout=subprocess.PIPE, text=True
        )
        servers.append(Server(process, port))
        return servers[-1]

    yield make
    for server in servers:
        server.process.kill()
        server.process.wait()
    one.drop(OLD)
    two.drop(NEW)


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_of_several_one_works_and_the_others_wait_and_say_for_whom(start: Callable[[], Server]) -> None:
    first = start()
    eventually(lambda: first.says("working"))

    second = start()

    eventually(lambda: second.says(f":{first.process.pid} works"))
    for server, held in ((first, "1.0"), (second, "0.0")):
        assert server.answers("/healthz") == (200, "ok\n")
        eventually(lambda server=server: server.answers("/readyz") == (200, "ok\n"))
        assert f"strangler_lease_held {held}" in server.answers("/metrics")[1]
    eventually(lambda: 'strangler_epoch{capability="things"} 0.0' in first.answers("/metrics")[1])
    assert "strangler_epoch{" not in second.answers("/metrics")[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_when_it_ends_another_works(start: Callable[[], Server], number: int) -> None:
    first = start()
    eventually(lambda: first.says("working"))
    second = start()
    eventually(lambda: second.says("waiting"))

    first.process.send_signal(number)
    first.process.wait(60)

    eventually(lambda: second.says("working"))
    assert first.process.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL)


def test_one_that_stands_still_loses_its_turn_and_knows_it_when_it_wakes(start: Callable[[], Server]) -> None:
    first = start()
    eventually(lambda: first.says("working"))
    second = start()
    eventually(lambda: second.says("waiting"))

    with stopped(first.process):
        eventually(lambda: second.says("working"))

    eventually(lambda: first.says("waiting"))
    eventually(lambda: first.answers("/readyz")[0] == 200)


def test_one_whose_session_is_ended_gives_its_turn_up(start: Callable[[], Server], cluster: Cluster) -> None:
    first = start()
    eventually(lambda: first.says("working"))

    with cluster.connect(OLD) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'strangler serve %'"
        )

    eventually(lambda: first.says("the server went away"))
    eventually(lambda: [json.loads(line).get("state") for line in first.told].count("working") == 2)


def test_without_its_ledger_it_is_alive_and_not_ready(start: Callable[[], Server], cluster: Cluster) -> None:
    server = start()
    eventually(lambda: server.answers("/readyz")[0] == 200)

    with cluster.connect() as connection:
        connection.execute(f"ALTER DATABASE {OLD} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (OLD,))
        eventually(lambda: server.answers("/readyz") == (503, "the ledger does not answer\n"))
        assert server.answers("/healthz")[0] == 200
        connection.execute(f"ALTER DATABASE {OLD} ALLOW_CONNECTIONS true".encode())

    eventually(lambda: server.answers("/readyz")[0] == 200)


def test_an_agent_is_refused_where_the_gateway_cannot_be_seen(start: Callable[[], Server], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "STRANGLER_CONFIG": str(tmp_path / "strangler.toml"),
        "STRANGLER_STATE": "/proc/nowhere",
    }
    addresses = {
        **dict.fromkeys(("WEB_URL", "THINGS_URL"), "http://there"),
        **dict.fromkeys(("OLD_URL", "NEW_URL"), "postgresql://there"),
    }

    done = subprocess.run(
        [sys.executable, "-m", "strangler.cli.main", "serve"],
        env={**environment, **addresses},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "run `strangler agent` beside it" in done.stderr


def test_an_address_that_is_missing_among_others_is_named(start: Callable[[], Server], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "STRANGLER_CONFIG": str(tmp_path / "strangler.toml"),
        "STRANGLER_STATE": "/proc/nowhere",
    }
    environment |= {"OLD_URL": "postgresql://old", "THINGS_URL": "http://things"}
    command = [sys.executable, "-m", "strangler.cli.main", "status"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "nothing else says where to find: database new, process web\n" in done.stderr
    assert "set the variables" in done.stderr


def test_a_port_that_is_taken_is_named(start: Callable[[], Server]) -> None:
    first = start()
    eventually(lambda: first.answers("/healthz")[0] == 200)
    environment = dict(os.environ, METRICS_PORT=str(first.port))

    code = "from strangler.adapters import health; health.serve(alive=lambda: None, ready=lambda: None)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert f"METRICS_PORT {first.port}" in done.stderr
    terminate(first.process)
