"""Does what the database's own constraints say of a row's deletion, because a stream skips them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from chassis.references.orphans import Place

ONTO = """
SELECT k.conname, k.conrelid::oid, format('%%I.%%I', n.nspname, c.relname), k.confrelid::oid, k.confdeltype::text,
       key.columns, key.parent_columns,
       (SELECT array_agg(a.attname::text) FROM pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.confdelsetcols))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(ca.attname::text ORDER BY pair.position), array_agg(pa.attname::text ORDER BY pair.position)
    FROM unnest(k.conkey, k.confkey) WITH ORDINALITY pair (child, parent, position)
    JOIN pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
    JOIN pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
) key (columns, parent_columns)
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (%s::oid[]) ORDER BY k.oid
"""
CASCADE, SET_NULL, SET_DEFAULT = "c", "n", "d"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A foreign key onto ``place``: by ``columns`` of the table ``child_name`` onto ``parent_columns``."""

    name: str
    child: int
    child_name: str
    place: Place
    on_delete: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    written: tuple[str, ...]

    def run(self, values: Mapping[str, str | None]) -> None:
        """Does what ON DELETE says to the rows that still point there.

        Raises:
            LookupError: it says that the row may not be deleted; but a side that could not know this has deleted it.
        """
        quote = connection.ops.quote_name
        pointing = " AND ".join(f"{quote(column)} = %s" for column in self.columns)
        if self.on_delete == CASCADE:
            statement = f"DELETE FROM {self.child_name} WHERE {pointing}"  # noqa: S608
        elif self.on_delete in {SET_NULL, SET_DEFAULT}:
            word = "NULL" if self.on_delete == SET_NULL else "DEFAULT"
            changes = ", ".join(f"{quote(column)} = {word}" for column in self.written)
            statement = f"UPDATE {self.child_name} SET {changes} WHERE {pointing}"  # noqa: S608
        else:
            statement = f"SELECT FROM {self.child_name} WHERE {pointing} LIMIT 1"
        with connection.cursor() as cursor:
            cursor.execute(statement, [values[column] for column in self.parent_columns])
            if cursor.rowcount and statement.startswith("SELECT"):
                raise LookupError(
                    f"rows of {self.child_name} point at it by {self.name}, and no model says what becomes of them"
                )


def onto(places: Sequence[Place]) -> list[Constraint]:
    """All constraints onto these tables."""
    by_oid = {place.oid: place for place in places}
    with connection.cursor() as cursor:
        cursor.execute(ONTO, (list(by_oid),))
        return [
            Constraint(
                name, child, child_name, by_oid[parent], action, tuple(mine), tuple(theirs), tuple(written or mine)
            )
            for name, child, child_name, parent, action, mine, theirs, written in cursor.fetchall()
        ]
