"""Creates the schema ``strangler`` in a database, or brings it up to date.

Note "no lock of everybody's": any role can take an advisory lock of a known number, for ever. So a lock on a table of
the schema, which only its owner may take, keeps two installs apart. The unique indexes of the catalogue decide which
install makes the schema first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql

from strangler.adapters.postgres.schema import installed, owners, rights
from strangler.adapters.postgres.session.connection import Connection, describe, scalar, script
from strangler.adapters.postgres.tables.locks import NOT_FREE, TRY_SECONDS
from strangler.domain.errors import MoveError

LOCK_MS = 200
AT_ONCE_SECONDS = 0.02
INSTALLED = "SELECT obj_description(to_regnamespace('strangler'), 'pg_namespace')"
CREATORS = """
SELECT DISTINCT format('REVOKE CREATE ON SCHEMA strangler FROM %s CASCADE',
                       CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_namespace n, aclexplode(n.nspacl) a
WHERE n.nspname = 'strangler' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
"""
# Another install was making the same thing.
AT_ONCE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema, psycopg.errors.DuplicateTable)


def install(connection: Connection) -> None:
    """Makes what every side has; it may run again, and several times at once.

    Raises:
        MoveError: when the tables of the schema did not become free for a change.
        PreflightError: the schema, or something in it, belongs to somebody else; nothing in it has been called or
            changed.
    """
    _bring_up_to_date(connection, ("side", "fence", "rights", "given"))


def install_ledger(connection: Connection) -> None:
    """The same, with the ledger's tables, in the monolith's database."""
    _bring_up_to_date(connection, ("side", "fence", "ledger", "rights", "given"))


def _bring_up_to_date(connection: Connection, scripts: Sequence[str]) -> None:
    owners.require_own(connection)
    if not _missing(connection, scripts):
        return
    _tried_again(connection, lambda: _make_room(connection))
    owners.require_own(connection)
    _tried_again(connection, lambda: _run(connection, scripts))


def _tried_again(connection: Connection, act: Callable[[], None]) -> None:
    deadline = time.monotonic() + TRY_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_MS),))
                act()
        except (*NOT_FREE, *AT_ONCE) as error:
            if time.monotonic() >= deadline:
                raise MoveError(
                    f"the tables of the schema strangler did not become free within {TRY_SECONDS:g} s",
                    place=describe(connection.info.dsn),
                    remedy="end the transactions that have read them, then run the command again",
                    id="table-held",
                ) from error
            time.sleep(AT_ONCE_SECONDS if isinstance(error, AT_ONCE) else LOCK_MS / 1000)
        else:
            return


def _make_room(connection: Connection) -> None:
    if scalar(connection, "SELECT to_regnamespace('strangler')") is None:
        connection.execute("CREATE SCHEMA strangler")
        # Default privileges may have let others create objects in it; no other session sees the schema yet.
        for (statement,) in connection.execute(CREATORS).fetchall():
            connection.execute(statement.encode())
        # At once: every request asks whether there is a side here, and a request that may not look would fail.
        connection.execute("GRANT USAGE ON SCHEMA strangler TO PUBLIC")
    connection.execute("CREATE TABLE IF NOT EXISTS strangler.installing ()")


def _run(connection: Connection, scripts: Sequence[str]) -> None:
    connection.execute("LOCK TABLE strangler.installing IN EXCLUSIVE MODE")
    # Once per version: the scripts lock tables that every request reads, and wait for every transaction that has read
    # them.
    missing = _missing(connection, scripts)
    if not missing:
        return
    for name in scripts:
        connection.execute(script(name).encode())
    rights.take_back(connection)
    found = {name: value for name, value in _found(connection).items() if not name.startswith(installed.SCHEMA)}
    noted = {**found, **missing, **installed.notes(connection)}
    comment = " ".join(f"{name}={value}" for name, value in noted.items())
    connection.execute(sql.SQL("COMMENT ON SCHEMA strangler IS {}").format(sql.Literal(comment)))


def _found(connection: Connection) -> dict[str, str]:
    return installed.read(scalar(connection, INSTALLED) or "")


def _missing(connection: Connection, scripts: Sequence[str]) -> dict[str, str]:
    """The scripts whose present version has not run here, or of which something was replaced since."""
    wanted = {name: installed.version(name) for name in scripts}
    if installed.replaced(connection):
        return wanted
    found = _found(connection)
    return {name: version for name, version in wanted.items() if found.get(name) != version}
