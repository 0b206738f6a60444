"""The roles of a database: the application, the tool, and the gateway's agent, each with what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

APP, MOVER, AGENT = "app", "mover", "agent"

# Before anything that a server might log.
_QUIET: tuple[LiteralString, ...] = (
    "SET log_statement = 'none'",
    "SET log_min_duration_statement = -1",
    "SET log_min_error_statement = panic",
)


def give(superuser: psycopg.Connection[Any], passwords: Mapping[str, str], *, extensions: str = "") -> None:
    """Makes the roles that have a password there, in the session's database, or brings them to what they should be.

    The session ought to end then: it logs nothing any more.
    """
    for statement in _QUIET:
        superuser.execute(statement)
    for name in (APP, MOVER, AGENT):
        superuser.execute("SELECT set_config(%s, %s, false)", (f"roles.{name}", passwords.get(name, "")))
    superuser.execute("SELECT set_config('roles.extensions', %s, false)", (extensions,))
    superuser.execute(_read("roles.sql").encode())


def shell() -> str:
    """The same as a program for the container of a server."""
    return _read("roles.sh").replace("@roles.sql@\n", _read("roles.sql"))


def _read(name: str) -> str:
    return (files("strangler.adapters.postgres") / name).read_text(encoding="utf-8")
