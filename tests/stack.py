"""A local stack of its own for a test run: its own state folder, ports and data, used from outside only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg

ROOT = Path(__file__).resolve().parent.parent
STRANGLER = str(Path(sys.executable).with_name("strangler"))
UP_SECONDS = 300
VERB_SECONDS = 120


class Stack:
    """The project of this repository with its state in ``folder``.

    A developer's own stack under ``var/`` is neither seen nor touched.
    """

    def __init__(self, folder: Path, config: Path = ROOT / "strangler.toml") -> None:
        self.folder = folder
        self.config = config

    def up(self) -> None:
        self.run("up", "--detach", "--data", "sample", seconds=UP_SECONDS)

    def down(self) -> None:
        self.run("down", seconds=UP_SECONDS)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Up inside; at the end it is stopped, and no process of it may be left."""
        with self.ending():
            self.up()
            yield self

    @contextmanager
    def ending(self) -> Iterator[None]:
        """At the end it is stopped, whoever has started it, and no process of it may be left."""
        try:
            yield
        finally:
            try:
                self.down()
                left = self.remains()
                assert not left, f"still running after `strangler down`: {left}"
            finally:
                self.end_remains()

    def run(
        self, *verb: str, code: int = 0, seconds: float = VERB_SECONDS, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``strangler VERB…`` to its end, which must be ``code``."""
        done = subprocess.run(
            [STRANGLER, *verb],
            cwd=ROOT,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(verb)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def json(self, *verb: str, **environment: str) -> dict[str, Any]:
        """What ``strangler VERB… --json`` prints."""
        answer: dict[str, Any] = json.loads(self.run(*verb, "--json", **environment).stdout)
        return answer

    def spawn(self, *verb: str, **environment: str) -> subprocess.Popen[str]:
        """Starts ``strangler VERB…`` and does not wait for it."""
        return subprocess.Popen(
            [STRANGLER, *verb],
            cwd=ROOT,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, capability: str) -> dict[str, Any]:
        """What ``strangler status --json`` says of one capability."""
        found: dict[str, Any] = self.json("status")["capabilities"][capability]
        return found

    def environment(self) -> dict[str, Any]:
        """``strangler env --json``; asked anew each time, for processes are started again."""
        return self.json("env")

    def pid(self, process: str) -> int:
        """The present process of that name in ``strangler env``."""
        return int(self.environment()["processes"][process])

    def pids(self) -> dict[str, int]:
        """The present processes as the supervisor has noted them, for tests that ask too often to run a command each
        time."""
        return {name: int(each["pid"]) for name, each in self._noted()["processes"].items()}

    def supervisor(self) -> int:
        """The supervisor, which starts processes again."""
        return int(self._noted()["supervisor"]["pid"])

    def client(self, **settings: Any) -> httpx.Client:
        """A client of the gateway that shows redirects instead of following them."""
        return httpx.Client(base_url=self.gateway, timeout=60, **settings)

    def database(self, name: str) -> psycopg.Connection[Any]:
        """A session in one of the databases, each statement its own transaction."""
        return psycopg.connect(self.environment()["databases"][name], autocommit=True)

    @property
    def gateway(self) -> str:
        address: str = self.environment()["gateway"]
        return address

    def remains(self) -> dict[int, str]:
        """Processes that still run and have this stack's folder in their environment or as their working folder."""
        return {pid: what for pid, what in _processes().items() if self._owns(pid)}

    def end_remains(self) -> None:
        for pid in self.remains():
            os.kill(pid, signal.SIGKILL)

    def _noted(self) -> dict[str, Any]:
        noted: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return noted

    def _owns(self, pid: int) -> bool:
        proc = Path("/proc") / str(pid)
        try:
            if Path(os.readlink(proc / "cwd")).is_relative_to(self.folder):
                return True
            return str(self.folder).encode() in (proc / "environ").read_bytes()
        except OSError:
            return False

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        project = {"STRANGLER_CONFIG": str(self.config), "STRANGLER_STATE": str(self.folder)}
        return {**os.environ, **project, **more}


def _processes() -> dict[int, str]:
    """The command lines of all living processes but this one."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if command:  # a zombie has none
            found[int(entry.name)] = command
    return found
