"""PostgreSQL servers for the tests: each started once a session, each test in databases of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from strangler.adapters.stack import ports
from strangler.adapters.stack.postgres import Server

Connection = psycopg.Connection[Any]

START_SECONDS = 30.0


class Cluster:
    """A running server; ``dsn`` is that of its superuser."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def dsn(self, database: str, *, user: str | None = None) -> str:
        """The address of one database, for the superuser or for a role whose password is its name."""
        extra = {"user": user, "password": user} if user else {}
        return make_conninfo(self._server.dsn, dbname=database, **extra)

    def connect(self, database: str = "postgres", *, user: str | None = None) -> Connection:
        """An autocommit session."""
        return psycopg.connect(self.dsn(database, user=user), autocommit=True)

    def create(self, database: str) -> None:
        """An empty database."""
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        """Removes a database with all that a move has made in it."""
        with self.connect(database) as connection:
            for (name,) in connection.execute(
                "SELECT subname FROM pg_subscription WHERE subdbid = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            ).fetchall():
                subscription = sql.Identifier(name)
                for statement in (
                    "ALTER SUBSCRIPTION {} DISABLE",
                    "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
                    "DROP SUBSCRIPTION {}",
                ):
                    connection.execute(sql.SQL(statement).format(subscription))
        with self.connect() as connection:
            slots = "FROM pg_replication_slots WHERE database = %s"
            connection.execute(f"SELECT pg_terminate_backend(active_pid) {slots} AND active", (database,))
            eventually(
                lambda: not connection.execute(f"SELECT 1 {slots} AND active", (database,)).fetchone(),
                within=10,
            )
            connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {slots}", (database,))
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
            # Origins are the server's, not the database's.
            connection.execute(
                "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE 'strangler%'"
            )


def eventually(holds: Any, *, within: float = 20.0) -> None:
    """Waits until ``holds()`` is true; fails when it does not come true in time."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.005)


@contextmanager
def running(name: str, folder: Path, settings: Mapping[str, str] = {}) -> Iterator[Cluster]:
    """Starts a server with the local stack's settings, and ends it."""
    port = ports.assign([name], {}, folder / f"{name}.json")[name]
    server = Server(name, folder, port, "secret")
    server.create()
    with (folder / "postgres" / name / "postgresql.conf").open("a") as configuration:
        for key, value in {"fsync": "off", **settings}.items():
            configuration.write(f"{key} = '{value}'\n")
    program = server.program()
    log_file = folder / f"{name}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            program.command, cwd=program.directory, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not program.ready():
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.02)
        yield Cluster(server)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
