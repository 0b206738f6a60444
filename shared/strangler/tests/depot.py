"""A project in a folder of its own, with programs that a test writes, and its command line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import urllib3
from strangler.stack import identity

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
# No program of it uses the broker, and a real broker would need seconds to come up.
NO_BROKER = """
[broker]
embedded = false
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
# Leaves a child in a session of its own, like a daemon, and ends on SIGTERM without ending the child.
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
    """A project in a folder of its own, and its command line; on request with a broker of its own."""

    def __init__(self, folder: Path, *, broker: bool = False) -> None:
        self.folder = folder
        self.file = folder / "strangler.toml"
        self.file.write_text(PROJECT if broker else PROJECT + NO_BROKER)
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


@contextlib.contextmanager
def gone_at_the_end(depot: Depot) -> Iterator[Depot]:
    """Takes the stack down after the last test; nothing may be left."""
    yield depot
    depot.run("down")
    assert not depot.survivors()


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def web_answer(depot: Depot) -> dict[str, Any]:
    answer = urllib3.request("GET", depot.kept()["gateway"] + "/anything", retries=False)
    assert answer.status == 200
    document: dict[str, Any] = answer.json()
    return document


def serves(depot: Depot) -> bool:
    with contextlib.suppress(AssertionError, OSError, urllib3.exceptions.HTTPError, ValueError):
        return "pid" in web_answer(depot)
    return False
