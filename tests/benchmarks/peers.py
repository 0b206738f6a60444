"""Other outboxes for Django, doing their nearest equivalent of what the relay benchmark measures.

They are no dependencies of the project: they are installed into a temporary environment. If that is not possible, the
table shows the reason instead.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from tests.benchmarks.servers import Place, running

PROJECT = Path(__file__).resolve().parent / "peers_project"
INSTALL_SECONDS = 120
SHOW_SECONDS = 120.0
TASK = "benchmark.thing.done"


@dataclass(frozen=True)
class Peer:
    """One way in which a package publishes; ``left`` counts the rows that it has not finished yet."""

    package: str
    release: str
    table: str
    left: str
    command: tuple[str, ...]
    destination: str
    settings: str
    not_promised: str


PEERS = (
    Peer(
        package="django-outbox-pattern",
        release="3.2.1",
        table="published",
        left="SELECT count(*) FROM published WHERE status = 1",
        command=("publish",),
        destination="/exchange/events/benchmark.thing.done",
        settings="STOMP, chunks of 1000, persistent, one process",
        not_promised=(
            "no confirm: a row counts as sent when it is in the socket, in whatever order the rows are read, and "
            "stopping the process right after its last row lost 8 and 5 of 1000 in two of four rounds; "
            "all rows are one transaction, so a process that dies sends every one of them again"
        ),
    ),
    Peer(
        package="django-celery-outbox",
        release="0.4.3",
        table="celery_outbox",
        left="SELECT count(*) FROM {table}",
        command=("celery_outbox_relay", "--batch-size", "1000"),
        destination=TASK,
        settings="AMQP, batches of 1000, a confirm each, one at a time, one process",
        not_promised="not mandatory: a task that no queue takes counts as sent; one that fails is overtaken by others",
    ),
    Peer(
        package="django-celery-outbox",
        release="0.4.3",
        table="celery_outbox",
        left="SELECT count(*) FROM {table}",
        command=("celery_outbox_relay", "--batch-size", "1000", "--publish-concurrency", "8"),
        destination=TASK,
        settings="AMQP, batches of 1000, a confirm each, 8 threads, one process",
        not_promised="as above, and there is no order",
    ),
)


class Peers:
    """An environment with all of them."""

    def __init__(self, python: Path, database: Place, broker: Place, queue: str) -> None:
        self._python = str(python)
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "DATABASE_URL": database.url,
            "BROKER_URL": broker.url,
            "STOMP_PORT": str(broker.stomp),
            "QUEUE": queue,
            "DJANGO_SETTINGS_MODULE": "settings",
        }
        self._django("migrate", "--verbosity", "0")

    def fill(self, peer: Peer, session: psycopg.Connection[Any], events: int, keys: int) -> None:
        session.execute(f"TRUNCATE {peer.table}".encode())
        self._django("fill", peer.package, str(events), str(keys), peer.destination)
        session.execute(f"VACUUM ANALYZE {peer.table}".encode())

    def publish(self, peer: Peer, session: psycopg.Connection[Any], queued: Callable[[], int], events: int) -> float:
        """Seconds from the first message in the queue until no row is left, scaled to all of them."""
        left = peer.left.format(table=peer.table).encode()
        command = [self._python, "-m", "django", *peer.command]
        with running(command, PROJECT, self._environment, quiet=True) as process:
            deadline = time.monotonic() + SHOW_SECONDS
            while not (first := queued()):
                _check(process, deadline)
                time.sleep(0.01)
            began = time.perf_counter()
            while session.execute(left).fetchone() != (0,):
                _check(process, deadline)
                time.sleep(0.02)
            seconds = time.perf_counter() - began
            # A process that is stopped before its messages have reached the broker loses them: see STOMP above.
            while queued() < events:
                _check(process, deadline)
                time.sleep(0.02)
        return seconds * events / max(1, events - first)

    def _django(self, *arguments: str) -> None:
        command = [self._python, "-m", "django", *arguments]
        subprocess.run(command, cwd=PROJECT, env=self._environment, check=True, stdout=subprocess.DEVNULL)


def _check(process: subprocess.Popen[bytes], deadline: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline:
        sys.exit(f"{process.args!r} does not publish: it is {process.poll()}")


@contextmanager
def installed() -> Iterator[tuple[Path | None, str]]:
    """The Python of an environment with the packages, or None and the reason."""
    packages = sorted({f"{peer.package}=={peer.release}" for peer in PEERS})
    packages += [f"django=={version('django')}", f"psycopg[binary]=={version('psycopg')}"]
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        python = Path(folder) / "environment" / "bin" / "python"
        reason = _run("venv", "--python", sys.executable, str(python.parents[1]))
        reason = reason or _run("pip", "install", "--python", str(python), *packages)
        yield (None, reason) if reason else (python, ", ".join(packages))


def _run(*arguments: str) -> str:
    """Why it did not succeed; blank when it did."""
    uv = Path(sys.executable).with_name("uv")
    try:
        done = subprocess.run(
            [str(uv), *arguments], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else f"uv ended with {done.returncode}") if done.returncode else ""


def speaks_stomp(broker: Place) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", broker.stomp)) == 0


def missing(peer: Peer, python: Path | None, reason: str, broker: Place) -> str:
    """Why the peer cannot be measured; blank when it can."""
    if python is None:
        return f"not installed: {reason}"
    if peer.settings.startswith("STOMP") and not speaks_stomp(broker):
        return "not measured: this RabbitMQ has no STOMP plugin"
    return ""
