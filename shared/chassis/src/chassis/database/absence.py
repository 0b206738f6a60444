"""How to recognise that the database cannot be reached, or that there is none."""

from __future__ import annotations

import psycopg
from django.db import DEFAULT_DB_ALIAS, Error, connections

# Besides class 08, connection exceptions: the server is stopped, crashes, starts, or has no room for a session.
AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})

# What Django takes where the settings name no database.
_NONE = "django.db.backends.dummy"


def has_database(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether the project has a database at all: a front of others' data needs none."""
    return bool(connections[using].settings_dict["ENGINE"] != _NONE)


def is_outage(error: BaseException | None) -> bool:
    """Whether the error says that the database cannot be reached, and not that it refuses a statement."""
    cause = error.__cause__ if isinstance(error, Error) else error
    if isinstance(cause, psycopg.InterfaceError):
        return "connection" in str(cause)  # otherwise a cursor raised it, and it is the program's fault
    if not isinstance(cause, psycopg.OperationalError) or isinstance(cause, psycopg.errors.PipelineAborted):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith("08") or cause.sqlstate in AWAY
