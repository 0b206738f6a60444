"""PostgreSQL servers for the tests: each server is started once per session, and each test has databases of its own."""

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
from strangler.stack import ports
from strangler.stack.postgres import Server

Connection = psycopg.Connection[Any]

START_SECONDS = 60.0
PASSWORD = "secret"
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "5",
    # Each test makes dozens of connections; what a password costs whoever guesses it is not tested here.
    "scram_iterations": "1",
}


class Cluster:
    """A running server; ``dsn`` is that of its superuser."""

    def __init__(self, server: Server, log: Path) -> None:
        self._server = server
        self._log = log
        self._empty: set[str] = set()

    def said(self) -> str:
        """All that the server has logged."""
        return self._log.read_text(errors="replace")

    def dsn(self, database: str, *, user: str | None = None) -> str:
        """The address of one database, for the superuser or for a role whose password is its name."""
        extra = {"user": user, "password": user} if user else {}
        return make_conninfo(self._server.dsn, dbname=database, **extra)

    def connect(self, database: str = "postgres", *, user: str | None = None) -> Connection:
        """An autocommit session."""
        return psycopg.connect(self.dsn(database, user=user), autocommit=True)

    def create(self, database: str) -> None:
        """An empty database; an existing one of that name is made empty."""
        if database in self._empty:
            self._empty.remove(database)
            return
        with self.connect() as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
                self.clean(database)
                self._empty.remove(database)
            else:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        """Removes a database with all that a move has made in it."""
        self.clean(database)
        self._empty.remove(database)
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def unsubscribe(self, database: str) -> None:
        """Ends a database's subscriptions, for a subscriber comes back, however often its slot is taken away."""
        with self.connect(database) as connection:
            for name in _names(connection, SUBSCRIPTIONS):
                for statement in (
                    "ALTER SUBSCRIPTION {} DISABLE",
                    "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
                    "DROP SUBSCRIPTION {}",
                ):
                    connection.execute(sql.SQL(statement).format(name))

    def clean(self, database: str) -> None:
        """Empties a database that has no subscriber, for the next who creates it; this is quicker than making another
        one."""
        self.unsubscribe(database)
        with self.connect(database) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # A session that has not ended yet may still have an origin.
            eventually(lambda: not connection.execute(OTHERS).fetchone())
            slots = "FROM pg_replication_slots WHERE database = current_database()"
            eventually(lambda: not connection.execute(f"SELECT 1 {slots} AND active").fetchone())
            connection.execute(f"SELECT pg_drop_replication_slot(slot_name) {slots}")
            for name in _names(connection, "SELECT pubname FROM pg_publication"):
                connection.execute(sql.SQL("DROP PUBLICATION {}").format(name))
            for name in _names(connection, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_)'"):
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
            connection.execute("CREATE SCHEMA public")
            connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
            # Origins belong to the server, and not to the database.
            connection.execute(
                "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE 'strangler%'"
            )
            # Otherwise the catalogs would grow with hundreds of tests per session, and each test would be slower than
            # the last.
            connection.execute("VACUUM")
        self._empty.add(database)


OTHERS = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
"""


def _names(connection: Connection, query: str) -> list[sql.Identifier]:
    return [sql.Identifier(row[0]) for row in connection.execute(query.encode()).fetchall()]


def eventually(holds: Any, *, within: float = 60.0) -> None:
    """Waits until ``holds()`` is true; fails if it does not become true in time."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.005)


@contextmanager
def running(name: str, folder: Path, settings: Mapping[str, str] = {}) -> Iterator[Cluster]:
    """Starts a server with the local stack's settings, and ends it."""
    port = ports.assign([name], {}, folder / f"{name}.json")[name]
    server = Server(name, folder, port, PASSWORD)
    server.create()
    with (folder / "postgres" / name / "postgresql.conf").open("a") as configuration:
        for key, value in {**QUICK, **settings}.items():
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
        cluster = Cluster(server, log_file)
        with cluster.connect() as connection:
            # Stored anew, it costs what the settings say.
            connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
        yield cluster
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
