"""The roles of a database: the application, the tool, and the gateway's agent, each with the rights that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

APP, MOVER, AGENT = "app", "mover", "agent"

# Before any statement that a server might log.
_QUIET: tuple[LiteralString, ...] = (
    "SET log_statement = 'none'",
    "SET log_min_duration_statement = -1",
    "SET log_min_error_statement = panic",
)


def give(superuser: psycopg.Connection[Any], passwords: Mapping[str, str], *, extensions: str = "") -> None:
    """Makes the roles that have a password in ``passwords``, in the session's database, or brings them up to date.

    The session should end after this, for the server no longer logs its statements.
    """
    for statement in _QUIET:
        superuser.execute(statement)
    for name in (APP, MOVER, AGENT):
        superuser.execute("SELECT set_config(%s, %s, false)", (f"roles.{name}", passwords.get(name, "")))
    superuser.execute("SELECT set_config('roles.extensions', %s, false)", (extensions,))
    superuser.execute(_read("roles.sql").encode())


def shell() -> str:
    """The same, as a shell script for the container of a server."""
    return _read("roles.sh").replace("@roles.sql@\n", _read("roles.sql"))


def _read(name: str) -> str:
    return (files("strangler.adapters.postgres") / name).read_text(encoding="utf-8")
