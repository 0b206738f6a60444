"""Sessions of the tool: no session may hold anything once its coordinator has vanished."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from strangler.adapters.postgres.session import dsn as addresses
from strangler.adapters.postgres.session import sessions
from strangler.domain import names
from strangler.domain.errors import PreflightError, RefusedError, StackError
from strangler.ports.side import LostError

T = TypeVar("T")

describe = addresses.describe

COORDINATOR = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 2000,
}


class Connection(psycopg.Connection[Any]):
    """A session that raises an error of its own when its server has gone, whatever the session was doing."""

    _end: threading.Timer | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Raises LostError in place of psycopg's error when the session is gone, and RefusedError where a policy
        filters."""
        try:
            return super().wait(gen, *args, **kwargs)
        except psycopg.errors.InsufficientPrivilege as error:
            # Works for every language of the server's messages.
            if error.diag.source_function != "check_enable_rls":
                raise
            raise RefusedError(
                f"a policy would hide rows from the tool: {error.diag.message_primary}",
                place=describe(self.info.dsn),
                remedy="take row-level security off this table for the time of the move, then run the command again",
                id="rows-hidden",
            ) from error
        except psycopg.Error as error:
            if not self.closed:
                # For the code that shows the error in the end, which cannot know which of two databases it was.
                if not getattr(error, "__notes__", None):
                    error.add_note(describe(self.info.dsn))
                raise
            raise LostError(
                f"the server went away: {error}".strip(),
                place=describe(self.info.dsn),
                remedy="nothing needs to be undone by hand; recovery acts when the server is back",
            ) from error

    def end_within(self, seconds: float | None) -> None:
        """Cuts the session if it is still open after ``seconds``, whatever it waits for; None takes that back.

        A server that stands still raises no timeout of its own, and its kernel keeps the connection alive for ever.
        """
        if self._end is not None:
            self._end.cancel()
        self._end = None
        if seconds is not None:
            self._end = threading.Timer(seconds, self._cut)
            self._end.daemon = True
            self._end.start()

    def _cut(self) -> None:
        with suppress(psycopg.OperationalError, OSError), socket.socket(fileno=os.dup(self.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)


def connect(dsn: str, *, purpose: str, idle_ms: int = 1000, replication: bool = False) -> Connection:
    """Opens an autocommit session, which inherits nothing (see the note "nothing inherited").

    The server ends a transaction of the session that idles longer than ``idle_ms`` (0: never).

    Raises:
        StackError: when the server cannot be reached.
    """
    try:
        extra: dict[str, Any] = dict(
            COORDINATOR, application_name=f"strangler {purpose}", options=sessions.options(dsn, idle_ms=idle_ms)
        )
        if replication:
            extra["replication"] = "database"
        session = Connection.connect(make_conninfo(dsn, **extra), autocommit=True)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        # Not `from error`: a traceback would show the part of the address that libpq quotes.
        raise StackError(
            f"cannot connect: {addresses.without_secrets(str(error), dsn)}",
            place=describe(dsn),
            remedy="check that the server runs and that strangler.toml names it rightly",
        ) from None
    if not replication:
        _settle_down(session)
    return session


def _settle_down(session: Connection) -> None:
    try:
        session.execute(sessions.afterwards(session.info.server_version).encode())
    except psycopg.errors.InsufficientPrivilege as error:
        role, place = session.info.user, describe(session.info.dsn)
        session.close()
        raise PreflightError(
            f"sessions of the role {role} begin in the replica role, and it may not leave it",
            place=place,
            remedy=f"ALTER ROLE {role} RESET session_replication_role (or ALTER DATABASE, whichever has set it), "
            f"and GRANT SET ON PARAMETER session_replication_role TO {role}",
            id="role-changes",
        ) from error


@cache
def script(name: str) -> str:
    """The text of an SQL file of this package."""
    return (files("strangler.adapters.postgres") / f"{name}.sql").read_text()


def scalar(connection: Connection, query: LiteralString | bytes | sql.Composed, *values: object) -> Any:
    """The first column of the first row, or None."""
    row = connection.execute(query, values or None).fetchone()
    return row[0] if row else None


def wait_until(
    connection: Connection, query: LiteralString, values: tuple[object, ...], *, within: float, interval: float = 0.0005
) -> bool:
    """Asks until the query answers true; False when ``within`` seconds have passed."""
    deadline = time.monotonic() + within
    while True:
        row = connection.execute(query, values, prepare=True).fetchone()
        if row and row[0]:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)


@contextmanager
def setting(connection: Connection, name: str, value: str) -> Iterator[None]:
    """Sets a session setting for a while."""
    before = scalar(connection, "SELECT current_setting(%s, true)", name)
    connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    try:
        yield
    finally:
        if not connection.broken and not connection.closed:
            connection.execute("SELECT set_config(%s, %s, false)", (name, before or ""))


def database_of(connection: Connection) -> str:
    """The database's name as the server knows it: the address may have used another name."""
    return str(scalar(connection, "SELECT current_database()"))


@contextmanager
def own_origin(connection: Connection, capability: str, purpose: str) -> Iterator[None]:
    """Marks the writes of this session with an origin of its own, so that no stream carries them on.

    Raises:
        PreflightError: when the role may not do this.
    """
    name = names.origin(database_of(connection), capability, purpose)
    try:
        connection.execute(
            "SELECT pg_replication_origin_create(%s) WHERE pg_replication_origin_oid(%s) IS NULL",
            (name, name),
        )
        connection.execute("SELECT pg_replication_origin_session_setup(%s)", (name,))
    except psycopg.errors.InsufficientPrivilege as error:
        raise PreflightError(
            "this role may not use replication origins",
            place=describe(connection.info.dsn),
            remedy="grant execute on the pg_replication_origin_* functions to it, or use a superuser",
            id="rights-missing",
        ) from error
    try:
        yield
    finally:
        if not connection.broken and not connection.closed:
            connection.execute("SELECT pg_replication_origin_session_reset()")
