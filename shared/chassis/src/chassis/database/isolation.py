"""The chassis' own transactions, whatever isolation a server, a role or a project has as its default.

A transaction that waits for a lock and then looks must see what the other one has committed. Under REPEATABLE READ it
sees what was there before it waited: the older event is handled after the newer, and writes end in serialization
failures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from psycopg import IsolationLevel

# SQLSTATEs of transactions that failed because of others, and succeed when they are tried again.
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"


@contextmanager
def read_committed() -> Iterator[None]:
    """``transaction.atomic()`` under READ COMMITTED; a transaction that is open already keeps its isolation."""
    connection.ensure_connection()
    session = connection.connection
    if connection.vendor != "postgresql" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    # This is part of BEGIN, so it costs no round trip.
    before = session.isolation_level
    session.isolation_level = IsolationLevel.READ_COMMITTED
    try:
        with transaction.atomic():
            yield
    finally:
        if connection.connection is session and not session.closed:
            session.isolation_level = before


@contextmanager
def joined() -> Iterator[None]:
    """``transaction.atomic()``, or the caller's transaction where one is open already.

    There is no savepoint, which would cost two round trips. So an error inside leaves what was written before it: let
    it undo the caller's transaction, too.
    """
    if connection.in_atomic_block:
        yield
    else:
        with transaction.atomic():
            yield


def is_passing(error: BaseException | None) -> bool:
    """Whether the same transaction may succeed when it is tried again at once."""
    while error is not None:
        if getattr(error, "sqlstate", None) in {SERIALIZATION_FAILURE, DEADLOCK}:
            return True
        error = error.__cause__
    return False
