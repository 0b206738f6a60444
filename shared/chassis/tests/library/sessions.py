"""Sessions beside Django's, and how a server ends one that is Django's."""

from __future__ import annotations

from typing import Any

import psycopg
from chassis.testing.sessions import another_session, parameters
from django.db import connection

from library.waiting import until


async def another_asynchronous_session(**options: Any) -> psycopg.AsyncConnection[Any]:
    """The same as `another_session`, for those who await."""
    return await psycopg.AsyncConnection.connect(**parameters(**options))


def end_the_session() -> None:
    """Ends the session of the calling thread, as a server does that is stopped."""
    pid = connection.connection.info.backend_pid
    with another_session(autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        until(lambda: not other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone())


def sessions() -> int:
    """How many sessions the database has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
