"""Hears of every change of a side, for threads that do nothing else than follow the sides."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from chassis import agreement


def follow(look: Callable[[], None], wanted: Callable[[], bool], *, patrol_seconds: float) -> None:
    """Calls ``look`` at once, after each change, and at the latest ``patrol_seconds`` after the last call, as long as
    ``wanted`` is true.

    Many changes at a time count as one: a change that comes while ``look`` runs is heard after it. Uses this thread's
    own session, which listens from then on.

    Raises:
        django.db.DatabaseError, psycopg.Error: the session is lost.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {agreement.SIDES_CHANNEL}")
    while wanted():
        look()
        for _ in connection.connection.notifies(timeout=patrol_seconds, stop_after=1):
            pass
