"""Creates the schema ``strangler`` in a database, or brings it up to date."""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg import sql

from strangler.adapters.postgres import installed
from strangler.adapters.postgres.connection import Connection, describe, scalar, script
from strangler.adapters.postgres.locks import NOT_FREE, TRY_SECONDS
from strangler.domain.errors import MoveError

LOCK_MS = 200
INSTALLED = "SELECT obj_description(to_regnamespace('strangler'), 'pg_namespace')"


def install(connection: Connection) -> None:
    """What every side has; safe to run again and at the same time.

    Raises:
        MoveError: when the tables of the schema did not become free for a change.
    """
    _bring_up_to_date(connection, ("side",))


def install_ledger(connection: Connection) -> None:
    """The same, and the ledger's tables beside it, in the monolith's database."""
    _bring_up_to_date(connection, ("side", "ledger"))


def _bring_up_to_date(connection: Connection, scripts: Sequence[str]) -> None:
    deadline = time.monotonic() + TRY_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler install'))")
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_MS),))
                _run(connection, scripts)
        except NOT_FREE as error:
            if time.monotonic() >= deadline:
                raise MoveError(
                    f"the tables of the schema strangler did not become free within {TRY_SECONDS:g} s",
                    place=describe(connection.info.dsn),
                    remedy="end the transactions that have read them, then run the command again",
                ) from error
            time.sleep(LOCK_MS / 1000)
        else:
            return


def _run(connection: Connection, scripts: Sequence[str]) -> None:
    # Only once a version: the scripts lock what every request reads, behind every transaction that has read it.
    wanted = {name: installed.version(name) for name in scripts}
    found = dict(one.split("=") for one in (scalar(connection, INSTALLED) or "").split())
    if wanted.items() <= found.items() and not installed.replaced(connection):
        return
    for name in scripts:
        connection.execute(script(name))
    comment = " ".join(f"{name}={version}" for name, version in {**found, **wanted}.items())
    connection.execute(sql.SQL("COMMENT ON SCHEMA strangler IS {}").format(sql.Literal(comment)))
