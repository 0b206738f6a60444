"""The library's processes against servers of the test's own, and what they say of themselves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import httpx
from strangler.stack import ports

from library.waiting import until

TESTS = Path(__file__).resolve().parents[1]
RELAY = (sys.executable, "-m", "django", "relay")
SWEEPER = (sys.executable, "-m", "django", "sweep_references")
MIGRATE = (sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0")
WORKER = (sys.executable, "-m", "celery", "-A", "library.worker", "worker", "--pool", "threads", "--loglevel", "INFO")
WEB = (
    *(sys.executable, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()"),
    *("--config", "python:chassis.servers.gunicorn", "--workers", "1"),
)


class Running:
    """One process; killed at the end where it still runs. ``said`` is its log."""

    def __init__(self, command: Sequence[str], log: Path, **environment: str) -> None:
        self.port = free_port()
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=TESTS,
                env={**os.environ, **self._environment(), **environment},
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if kind is not None:
            print(self.said)

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 10).close()
        except ConnectionRefusedError:
            return True
        return False

    def get(self, path: str) -> httpx.Response:
        """As soon as it answers anything."""
        return until(lambda: self._ask(path), 60)

    def await_status(self, path: str, status: int) -> httpx.Response:
        """As soon as it answers with this status."""
        until(lambda: self.get(path).status_code == status, 60)
        return self.get(path)

    def post(self, path: str) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", json={}, timeout=30)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code after SIGTERM; where that is not 0, its log is printed."""
        self.signal()
        code = self.process.wait(60)
        if code:
            print(self.said)
        return code

    def _environment(self) -> dict[str, str]:
        port = str(self.port)
        return {
            "DJANGO_SETTINGS_MODULE": "served",
            "PYTHONPATH": str(TESTS),
            "METRICS_PORT": port,
            "METRICS_ADDRESS": "127.0.0.1",
            "PORT": port,
        }

    def _ask(self, path: str) -> httpx.Response | None:
        assert self.process.poll() is None, self.said
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)
        except httpx.TransportError:
            return None


def run(command: Sequence[str], **environment: str) -> None:
    """A process that ends by itself, and well."""
    subprocess.run(
        command,
        cwd=TESTS,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "served", "PYTHONPATH": str(TESTS), **environment},
        check=True,
        timeout=120,
    )


def free_port() -> int:
    """Nobody else's until this process ends: who is to listen there needs seconds to begin."""
    with tempfile.TemporaryDirectory() as folder:
        return ports.assign(["any"], {}, Path(folder) / "ports.json")["any"]
