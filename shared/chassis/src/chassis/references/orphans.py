"""A queued deletion, and whether its row is gone.

Note "gone until the end": the row must be gone when its dependants go. So the sweep looks for it before anything is
done, and again after the last deletion, when all transactions that were then writing its table have ended. A row that
comes later than that comes after the clean-up: where it was deleted, its dependants would have been gone, too. No
session is locked out for this, because a stream and a fence must not wait for a sweep.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

WRITERS_SECONDS = 0.5

# The table that the tool means, whatever the session's search path finds under that name; and its partition.
PLACES = """
WITH root AS (
    SELECT c.oid, n.nspname, c.relname FROM strangler.side s, unnest(s.tables) name
    JOIN pg_class c ON c.oid = to_regclass(name) JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.capability = %s
      AND CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END = %s
), place AS (
    SELECT oid FROM root
    UNION SELECT relid FROM pg_partition_ancestors(to_regclass(%s))
    WHERE (SELECT oid FROM root) IN (SELECT relid FROM pg_partition_ancestors(to_regclass(%s)))
)
SELECT c.oid, format('%%I.%%I', n.nspname, c.relname), c.oid IN (SELECT oid FROM root)
FROM place JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
"""
# An older version of the tool queued one value without its column. If there is one column that constraints point at,
# the value is of that column.
POINTED_AT = """
SELECT array_agg(DISTINCT a.attname::text) FROM pg_constraint k
JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)
WHERE k.contype = 'f' AND k.confrelid = %s AND NOT k.conrelid = ANY (
    SELECT to_regclass(name) FROM strangler.side s, unnest(s.tables) name WHERE s.capability = %s)
"""
WRITERS = """
SELECT array_agg(DISTINCT virtualtransaction) FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = ANY (
    SELECT relid FROM pg_partition_tree(%s) UNION SELECT %s::oid)
"""
RUNNING = "SELECT EXISTS (SELECT FROM pg_locks WHERE virtualtransaction = ANY (%s))"


class ReturnedError(Exception):
    """The row is there: it was put back in the transaction that deleted it, or later."""


class BusyError(Exception):
    """Another transaction writes the row's table, and may be putting the row back."""


@dataclass(frozen=True, slots=True)
class Place:
    """The table that lost the row, or its partition that did; ``name`` is quoted and has its schema."""

    oid: int
    name: str
    is_root: bool


@dataclass(frozen=True, slots=True)
class Orphan:
    """``columns`` are the values of the row that is gone, by name; None where an older version has queued ``key``
    alone."""

    capability: str
    table: str
    key: str | None
    columns: Mapping[str, str | None] | None
    relation: str | None

    @classmethod
    def of(cls, capability: str, table: str, key: str | None, columns: Any, relation: str | None) -> Orphan:
        """Made from a row of the queue as the database's driver gives it."""
        if isinstance(columns, str):
            columns = json.loads(columns)
        return cls(capability, table, key, columns, relation)

    def places(self) -> list[Place]:
        """The table, and the partitions above the row.

        Raises:
            LookupError: it is no table of the capability, so it does not concern the sweep.
        """
        with connection.cursor() as cursor:
            cursor.execute(PLACES, (self.capability, self.table, self.relation, self.relation))
            found = [Place(*row) for row in cursor.fetchall()]
        if not found:
            raise LookupError(f"{self.table} is no table of {self.capability} here")
        return found

    def values(self, root: Place) -> Mapping[str, str | None]:
        """What is known of the row.

        Raises:
            LookupError: an older version of the tool has queued it, and it is not clear which column it meant.
        """
        if self.columns is not None:
            return self.columns
        with connection.cursor() as cursor:
            cursor.execute(POINTED_AT, (root.oid, self.capability))
            columns = cursor.fetchone()[0] or []
        if len(columns) != 1:
            raise LookupError(
                f"an older version queued {self.key!r}, which may be of any of {', '.join(columns) or 'its columns'}: "
                "clean up by hand, then delete this row"
            )
        return {columns[0]: self.key}


def is_there(place: Place, values: Mapping[str, str | None]) -> bool:
    """Whether the table has a row with these values."""
    quote = connection.ops.quote_name
    condition = " AND ".join(f"{quote(column)} = %s" for column in values)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {place.name} WHERE {condition})", list(values.values()))  # noqa: S608
        return bool(cursor.fetchone()[0])


def await_writers(places: Sequence[Place]) -> None:
    """Returns when all transactions that write these tables now have ended; see the note "gone until the end".

    Raises:
        BusyError: one of them takes too long.
    """
    deadline = time.monotonic() + WRITERS_SECONDS
    root = next(place.oid for place in places if place.is_root)
    with connection.cursor() as cursor:
        cursor.execute(WRITERS, (root, root))
        writers = cursor.fetchone()[0]
        while writers:
            cursor.execute(RUNNING, (writers,))
            if not cursor.fetchone()[0]:
                return
            if time.monotonic() >= deadline:
                raise BusyError
            time.sleep(0.005)
