"""Loose foreign keys: what the deletion of a row means here, after another side has deleted it.

A stream deletes rows without running what Django would have run. The deletion is queued by a trigger; `sweep` then
does in an ordinary session what ``on_delete`` says of every row that pointed there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from prometheus_client import Counter

from chassis import ownership, vitals

logger = logging.getLogger("chassis.references")

CHANNEL = "strangler_orphan"

SWEPT = Counter("chassis_references_swept_total", "Deletions of another side that were cleaned up behind.", ["outcome"])

DUE = """
SELECT id, capability, table_name, key FROM strangler.orphan
WHERE retry_at <= clock_timestamp() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
FAILED = """
UPDATE strangler.orphan SET attempts = attempts + 1, error = %s,
       retry_at = clock_timestamp() + make_interval(secs => least(300, power(2, least(attempts, 12))))
WHERE id = %s
"""
DONE = """
INSERT INTO strangler.swept (capability, rows) VALUES (%s, 1)
ON CONFLICT (capability) DO UPDATE SET rows = swept.rows + 1
"""


def sweep(stopping: Callable[[], bool] = lambda: False) -> int:
    """Cleans up behind every queued deletion that is due, until ``stopping``; how many were done.

    One transaction each. A clean-up that fails stays queued with its error, and is tried again later.
    """
    done = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('strangler.orphan') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return done
        # The first `start` gives the rights; until then nothing is queued.
        cursor.execute(
            "SELECT has_table_privilege('strangler.orphan', 'UPDATE') OR EXISTS (SELECT FROM strangler.orphan)"
        )
        if not cursor.fetchone()[0]:
            return done
    while not stopping() and (outcome := _sweep_one()) is not None:
        vitals.beat()
        SWEPT.labels("done" if outcome else "failed").inc()
        done += outcome
    return done


def _sweep_one() -> int | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DUE)
        row = cursor.fetchone()
        if row is None:
            return None
        number, capability, table, key = row
        try:
            with transaction.atomic():
                forget(table, key)
        except Exception as error:
            logger.exception("clean-up failed", extra={"table": table, "key": key})
            cursor.execute(FAILED, (f"{type(error).__name__}: {error}"[:500], number))
            return 0
        cursor.execute("DELETE FROM strangler.orphan WHERE id = %s", (number,))
        cursor.execute(DONE, (capability,))
        return 1


def forget(table: str, key: str) -> None:
    """Does to all that points at the row what its deletion here would have done, cascades and signals included.

    Tables that another side owns are left alone: their deletions come by the stream themselves.

    Raises:
        LookupError: when no model has this table.
    """
    model = next((m for m in apps.get_models(include_auto_created=True) if m._meta.db_table == table), None)
    if model is None:
        raise LookupError(f"no model has the table {table}")
    gone = model(pk=model._meta.pk.to_python(key))
    collector = Collector(using=connection.alias, origin=gone)
    collector.collect([gone])
    elsewhere = {name for state in ownership.sides().values() if not state.open for name in state.tables}
    _leave_alone(collector, elsewhere | {table})
    collector.delete()


def _leave_alone(collector: Collector, tables: set[str]) -> None:
    data: Any = collector.data
    for model in [m for m in data if m._meta.db_table in tables]:
        del data[model]
    fast: Any = collector.fast_deletes
    fast[:] = [queryset for queryset in fast if _table_of(queryset) not in tables]
    updates: Any = collector.field_updates
    for change, instances in list(updates.items()):
        instances[:] = [i for i in instances if _table_of(i) not in tables]
        if not instances:
            del updates[change]


def _table_of(rows: QuerySet[Model] | Model) -> str:
    return (rows.model if isinstance(rows, QuerySet) else type(rows))._meta.db_table
