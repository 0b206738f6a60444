"""Faults in a database: rows that its processes read, and the trigger that slows a stream down.

Note "only this run": a row counts as long as the server runs that ran when it was written. So faults are forgotten when
a stack goes down, in whatever way it does. What is left in the database then does nothing, and goes with the next
``off``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import connect
from strangler.domain.errors import RefusedError

SLOW_STREAM = "slow-stream"
TRIGGER = "strangler_fault"
LOCK_TIMEOUT = "5s"

MAKE = """
CREATE SCHEMA IF NOT EXISTS strangler_faults;
CREATE TABLE IF NOT EXISTS strangler_faults.fault (
    name text PRIMARY KEY,
    settings jsonb NOT NULL,
    server_started timestamptz NOT NULL DEFAULT pg_postmaster_start_time()
);
GRANT USAGE ON SCHEMA strangler_faults TO PUBLIC;
GRANT SELECT ON strangler_faults.fault TO PUBLIC;
CREATE OR REPLACE FUNCTION strangler_faults.slow() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_sleep((settings ->> 'milliseconds')::float8 / 1000) FROM strangler_faults.fault
    WHERE name = 'slow-stream' AND server_started = pg_postmaster_start_time();
    RETURN coalesce(NEW, OLD);
END $$;
"""
WRITE = """
INSERT INTO strangler_faults.fault (name, settings) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, server_started = excluded.server_started
"""
PRESENT = "SELECT name, settings FROM strangler_faults.fault WHERE server_started = pg_postmaster_start_time()"
HAS = "SELECT to_regclass('strangler_faults.fault') IS NOT NULL"
SLOWED = """
SELECT tgrelid::regclass::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.pronamespace = to_regnamespace('strangler_faults') AND NOT tgisinternal AND tgparentid = 0
"""


def present(dsn: str) -> Mapping[str, Mapping[str, Any]]:
    """The faults that are on in the database, with their settings."""
    with _session(dsn) as session:
        return _present(session)


def switch_on(dsn: str, name: str, settings: Mapping[str, Any], tables: Iterable[str]) -> None:
    """Switches a fault on, or changes it. The stream into ``tables`` is slowed down where that is the fault.

    Raises:
        RefusedError: a table could not be locked; nothing was changed.
    """
    with _session(dsn) as session, session.transaction():
        session.execute(MAKE)
        session.execute(WRITE, (name, json.dumps(settings)))
        if name == SLOW_STREAM:
            _take_triggers(session)
            for table in tables:
                where = _identifier(table)
                make = "CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION {}"
                function = sql.Identifier("strangler_faults", "slow")
                session.execute(sql.SQL(f"{make}()").format(sql.Identifier(TRIGGER), where, function))
                # It fires for rows that a stream brings, and for no others.
                enable = sql.SQL("ALTER TABLE {} ENABLE REPLICA TRIGGER {}")
                session.execute(enable.format(where, sql.Identifier(TRIGGER)))


def switch_off(dsn: str, name: str | None) -> set[str]:
    """Switches a fault off, or all of them; returns the names of those that were on. Nothing is left where none is on.

    Raises:
        RefusedError: a table could not be locked. The fault is off then, and a trigger is left that does nothing.
    """
    with _session(dsn) as session:
        if not _exists(session):
            return set()
        before = set(_present(session))
        session.execute("DELETE FROM strangler_faults.fault WHERE name = %s OR %s::text IS NULL", (name, name))
        # From here on no trigger waits any more, so the stream lets go of its tables soon.
        with session.transaction():
            if SLOW_STREAM not in _present(session):
                _take_triggers(session)
            if not _present(session):
                session.execute("DROP SCHEMA strangler_faults CASCADE")
        return before if name is None else before & {name}


def _present(session: psycopg.Connection[Any]) -> Mapping[str, Mapping[str, Any]]:
    return dict(session.execute(PRESENT).fetchall()) if _exists(session) else {}


def _exists(session: psycopg.Connection[Any]) -> bool:
    row = session.execute(HAS).fetchone()
    return bool(row and row[0])


def _take_triggers(session: psycopg.Connection[Any]) -> None:
    for (table,) in session.execute(SLOWED).fetchall():
        drop = sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(TRIGGER), sql.SQL(table))
        session.execute(drop)


def _identifier(table: str) -> sql.Identifier:
    schema, _, name = table.rpartition(".")
    return sql.Identifier(schema or "public", name)


@contextmanager
def _session(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(dsn, purpose="fault") as session:
        session.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            yield session
        except psycopg.errors.LockNotAvailable as error:
            raise RefusedError(
                "a table is locked by somebody, so the stream's trigger cannot be changed",
                place="fault slow-stream",
                remedy="run it again in a moment",
            ) from error
