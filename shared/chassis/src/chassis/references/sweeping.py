"""Loose foreign keys: what happens here to the dependants of a row that another side has deleted.

A stream deletes rows without running what Django would have run. A trigger queues the deletion. `sweep` then does in an
ordinary session what ``on_delete`` says to every row that pointed there, if the row is still gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

from django.db import connection, transaction
from prometheus_client import Counter

from chassis import agreement
from chassis.process import vitals
from chassis.references import dependants, sending
from chassis.references.orphans import BusyError, Orphan, ReturnedError

logger = logging.getLogger("chassis.references.sweeping")

Outcome = Literal["done", "returned", "busy", "failed"]

SWEPT = Counter("chassis_references_swept_total", "Deletions of another side that were cleaned up behind.", ["outcome"])

# An old snapshot would not show a row that has come back, and a policy might hide it.
PREPARE = ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL row_security = off")


def sweep(stopping: Callable[[], bool] = lambda: False) -> int:
    """Cleans up behind every queued deletion that is due, until ``stopping``; returns how many were done.

    Each deletion has one transaction. A clean-up that fails stays queued with its error, and is tried again later. If
    the row is there again, the deletion is taken out of the queue.
    """
    done = 0
    with connection.cursor() as cursor:
        cursor.execute(agreement.HAS_ORPHANS)
        if not cursor.fetchone()[0]:
            return done
        cursor.execute(agreement.MAY_SWEEP)
        if not cursor.fetchone()[0]:
            return done
    while not stopping() and (outcome := _sweep_one()) is not None:
        vitals.beat()
        SWEPT.labels(outcome).inc()
        done += outcome == "done"
    return done


def _sweep_one() -> Outcome | None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in PREPARE:
            cursor.execute(statement)
        cursor.execute(agreement.ORPHAN_DUE)
        row = cursor.fetchone()
        if row is None:
            return None
        number, orphan = row[0], Orphan.of(*row[1:])
        outcome = _forget(cursor, number, orphan)
        if outcome in {"done", "returned"}:
            cursor.execute(agreement.ORPHAN_DELETED, (number,))
        if outcome == "done":
            cursor.execute(agreement.SWEPT, (orphan.capability,))
        return outcome


def _forget(cursor: Any, number: int, orphan: Orphan) -> Outcome:
    try:
        with transaction.atomic():
            dependants.forget(orphan)
            # Rows of another side that point at a dependant go first, or the constraints here would object to it.
            sending.settle(connection.alias)
            # An objection of a deferred constraint must be known here, not at the end.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except ReturnedError:
        return "returned"
    except BusyError:
        cursor.execute(agreement.ORPHAN_LATER, (number,))
        return "busy"
    except Exception as error:
        logger.exception("clean_up_failed", extra={"table": orphan.table})
        cursor.execute(agreement.ORPHAN_FAILED, (f"{type(error).__name__}: {error}"[:500], number))
        return "failed"
    return "done"
