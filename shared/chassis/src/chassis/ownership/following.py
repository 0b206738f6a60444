"""Hears of every change of a side: what follows the sides in a thread of its own does so by this."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from chassis import agreement


def follow(look: Callable[[], None], wanted: Callable[[], bool], *, patrol_seconds: float) -> None:
    """Calls ``look`` at first, after each change, and ``patrol_seconds`` after the last call in any case, while
    ``wanted``.

    Many changes at a time are one: what comes while ``look`` runs is heard behind it. In this thread's own session,
    which listens from then on.

    Raises:
        django.db.DatabaseError, psycopg.Error: the session is lost.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {agreement.SIDES_CHANNEL}")
    while wanted():
        look()
        for _ in connection.connection.notifies(timeout=patrol_seconds, stop_after=1):
            pass
