from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from notes import SCHEMA, Service, serving
from strangler.adapters.postgres.connection import connect
from strangler.adapters.stack import ports
from strangler.adapters.stack.postgres import Server

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="session")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own, for the session."""
    state: Path = tmp_path_factory.mktemp("postgres")
    port = ports.assign(["postgres"], {}, state / "ports.json")["postgres"]
    server = Server("notes", state, port, "secret")
    server.create()
    program = server.program()
    with (state / "log").open("wb") as log:
        process = subprocess.Popen(
            program.command, cwd=program.directory, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 30
        while not program.ready():
            assert process.poll() is None, (state / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.create_database()
        yield server.dsn
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """A session on empty tables."""
    session = connect(dsn, purpose="test", idle_ms=0)
    session.execute(SCHEMA)
    yield session
    session.close()


@pytest.fixture
def service(dsn: str, connection: Connection) -> Iterator[Service]:
    with serving(dsn) as running:
        yield running
