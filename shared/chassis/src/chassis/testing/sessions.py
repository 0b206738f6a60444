"""Sessions of a test's database beside Django's: they see what is committed, and commit without Django."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection

PARAMETERS = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}


def parameters(**options: Any) -> dict[str, Any]:
    """How Django's default database is reached; ``options`` are added, or stand in place of what Django says."""
    return {name: connection.settings_dict[key] for name, key in PARAMETERS.items()} | options


def another_session(**options: Any) -> psycopg.Connection[Any]:
    """Connects once more to the same database, with psycopg's ``options``."""
    return psycopg.connect(**parameters(**options))
