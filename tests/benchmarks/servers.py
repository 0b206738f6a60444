"""Servers of a benchmark's own, and the processes of its small projects."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strangler.stack import ports, secrets
from strangler.stack.broker import PORTS, RabbitMQ, choose
from strangler.stack.postgres import Server, binary
from strangler.stack.program import Program, tail

from tests.otlp import Collector

START_SECONDS = 90.0
SECONDS = 180.0  # the limit of every wait


@dataclass(frozen=True)
class Place:
    """A server's address, and its processes; a broker's port for STOMP, if it speaks that."""

    url: str
    pids: Sequence[int]
    stomp: int = 0


@contextmanager
def postgres() -> Iterator[Place]:
    """A server that flushes every commit, and notes its time."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        state = Path(folder)
        state.chmod(0o755)  # the server may run as another user than the benchmark
        port = ports.assign(["benchmark"], {}, state / "ports.json")["benchmark"]
        server = Server("benchmark", state, port, secrets.text(state / "secrets", "postgres"))
        server.create()
        with (state / "postgres" / "benchmark" / "postgresql.conf").open("a") as settings:
            settings.write("track_commit_timestamp = on\n")
        with _started(server.program()) as pid:
            server.create_database()
            yield Place(server.dsn, [pid])


def tool(name: str) -> Path:
    """A client program of the servers' own version."""
    return binary(name, None)


def dump_schema(place: Place) -> str:
    """What the server's own `pg_dump --schema-only` prints of the database."""
    command = [str(tool("pg_dump")), "--schema-only", place.url]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def rabbitmq(*, stomp: bool = False) -> Iterator[Place]:
    """A private node, with its port mapper; it speaks STOMP if it has the plugin."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        state = Path(folder)
        assigned = ports.assign((*PORTS, "stomp"), {}, state / "ports.json")
        broker = choose(state, assigned, "benchmark")
        if not isinstance(broker, RabbitMQ):
            sys.exit("rabbitmq-server is not installed")
        programs = list(broker.programs())
        if stomp:
            programs[-1] = _speaking_stomp(programs[-1], assigned["stomp"])
        with ExitStack() as held:
            pids = [held.enter_context(_started(program)) for program in programs]
            yield Place(broker.url, pids, assigned["stomp"])


@contextmanager
def collector() -> Iterator[tuple[str, Any]]:
    """A collector in a process of its own: its endpoint, and the number of spans that it has been sent."""
    spans, port = multiprocessing.Value("q", 0), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=_collect, args=(spans, port), daemon=True)
    process.start()
    until(lambda: port.value > 0)
    try:
        yield f"http://127.0.0.1:{port.value}", spans
    finally:
        process.terminate()
        process.join()


def _collect(spans: Any, port: Any) -> None:
    with Collector() as found:
        port.value = found.port
        while True:
            time.sleep(0.2)
            spans.value += len(found.spans())
            found.forget()


def _speaking_stomp(node: Program, port: int) -> Program:
    """A node without the plugin starts all the same, and then nothing listens on the port."""
    more = node.directory / "advanced.config"
    more.write_text(f'[{{rabbitmq_stomp, [{{tcp_listeners, [{{"127.0.0.1", {port}}}]}}]}}].\n')
    (node.directory / "enabled_plugins").write_text("[rabbitmq_stomp].\n")
    return replace(node, environment={**node.environment, "RABBITMQ_ADVANCED_CONFIG_FILE": str(more)})


@contextmanager
def _started(program: Program) -> Iterator[int]:
    program.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **program.environment}
    with program.log.open("ab") as log:
        process = subprocess.Popen(program.command, cwd=program.directory, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not program.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{program.name} does not start:\n{tail(program.log)}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(program.stop_signal)
        process.wait(program.stop_seconds + 30)


@contextmanager
def running(
    command: list[str], project: Path, environment: Mapping[str, str], *, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a project, ended by SIGTERM."""
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def django(project: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """What a command of a project prints."""
    command = [sys.executable, "-m", "django", *arguments]
    return subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def until(done: Callable[[], bool], *, every: float = 0.2) -> None:
    """Asks ``every`` so many seconds."""
    deadline = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"not done within {SECONDS:.0f} s")
        time.sleep(every)
