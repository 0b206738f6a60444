"""The rows that a request has changed.

Note "before and after": before the first statement of a request that writes a table, all its rows are read, and again
when the request has ended. What differs is what the request left: bulk statements, raw SQL and cascades are in it, what
was rolled back is not. Rows are read past Django, so that tests which count queries count their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import models

from chassis.testing.recording.hiding import MASK, SECRET, TOKEN

# A test that fills more of a table says nothing of it.
MOST_ROWS = 2000
NAME = r'(?:"?\w+"?\.)?"?(\w+)"?'
WRITTEN = re.compile(
    rf"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?{NAME}"
    rf"|\bCOPY\s+{NAME}\s*(?:\([^)]*\)\s*)?FROM\b",
    re.IGNORECASE,
)
# What follows UPDATE in a statement that writes nothing, or names no table.
NO_TABLE = frozenset({"of", "set", "nowait", "skip", "no", "cascade", "restrict"})
MANY, NO_MODEL, NOT_READ = f"more than {MOST_ROWS:,} rows", "no model has it", "it could not be read"
Key = tuple[str, ...]
Snapshot = Mapping[Key, Mapping[str, str | None]]


class Rows:
    """The rows of one request, by database and table."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[Any, Snapshot | str]] = {}

    def meet(self, connection: Any, statement: str) -> None:
        """A statement is about to be executed: its table is read if it is the first one to write it."""
        for found in WRITTEN.findall(statement):
            table = next(filter(None, found), "")
            if table.lower() in NO_TABLE or (connection.alias, table) in self._before:
                continue
            before = snapshot(connection, table) if table in tables() else NO_MODEL
            self._before[connection.alias, table] = connection, before

    def changes(self) -> Iterator[dict[str, Any]]:
        """What is not as it was. The rows of tables that could not be read are `unseen`."""
        for (alias, table), (connection, before) in self._before.items():
            if isinstance(before, str):
                continue
            after = snapshot(connection, table)
            if isinstance(after, str):
                self._before[alias, table] = connection, after
                continue
            for key in {**before, **after}:
                if before.get(key) != after.get(key):
                    yield _change(table, key, before.get(key), after.get(key))

    def unseen(self) -> dict[str, str]:
        """The tables that were written and whose rows are not told, each with why."""
        return {table: before for (_, table), (_, before) in self._before.items() if isinstance(before, str)}


def _change(
    table: str, key: Key, before: Mapping[str, str | None] | None, after: Mapping[str, str | None] | None
) -> dict[str, Any]:
    named = dict(zip(keys(tables()[table]), key, strict=True))
    if before is None or after is None:
        kind, values = ("insert", after or {}) if before is None else ("delete", {})
    else:
        kind, values = "update", {name: value for name, value in after.items() if before.get(name) != value}
    shown = {name: MASK if _is_secret(name, value) else value for name, value in values.items()}
    return {"table": table, "kind": kind, "key": named, "values": shown}


def _is_secret(name: str, value: str | None) -> bool:
    return value is not None and bool(SECRET.search(name) or TOKEN.search(value))


def tables() -> Mapping[str, type[models.Model]]:
    """The project's models by table; models that only stand for others' tables are left out."""
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy and keys(model)
    }


def keys(model: type[models.Model]) -> Key:
    """The columns of its key: one, or those of a composite key."""
    own = getattr(model._meta, "pk_fields", None) or [model._meta.pk]
    return tuple(str(field.column) for field in own if field is not None and field.column)


def snapshot(connection: Any, table: str) -> Snapshot | str:
    """All rows by key, with their columns as PostgreSQL prints them; or why they are not there."""
    model = tables()[table]
    fields = [field for field in model._meta.local_concrete_fields if field.column]
    quote, text = connection.ops.quote_name, "::text" if connection.vendor == "postgresql" else ""
    chosen = ", ".join(quote(field.column) + text for field in fields)
    try:
        connection.ensure_connection()
        cursor = connection.connection.cursor()
        try:
            cursor.execute(f"SELECT {chosen} FROM {quote(table)} LIMIT {MOST_ROWS + 1}")  # noqa: S608
            found = cursor.fetchall()
        finally:
            cursor.close()
    except Exception:  # noqa: BLE001  whatever the driver says: the project's test goes on
        return NOT_READ
    if len(found) > MOST_ROWS:
        return MANY
    rows: list[dict[str, str | None]] = [
        {str(field.column): _text(field, value) for field, value in zip(fields, row, strict=True)}
        for row in map(list, found)
    ]
    return {tuple(str(row[column]) for column in keys(model)): row for row in rows}


def _text(field: models.Field[Any, Any], value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or isinstance(field, models.BooleanField):
        return "true" if value else "false"
    return str(value)


def described() -> dict[str, Any]:
    """The tables of the project's models: columns by kind, keys, and what they refer to."""
    return {name: _described(model) for name, model in tables().items()}


def _described(model: type[models.Model]) -> dict[str, Any]:
    own = keys(model)
    alone = {
        one.fields[0]
        for one in model._meta.constraints
        if isinstance(one, models.UniqueConstraint) and len(one.fields) == 1
    }
    return {
        "key": own[0] if len(own) == 1 else None,
        "columns": {
            field.column: {
                "kind": _kind(field),
                "unique": bool(field.unique or field.name in alone),
                "limit": field.max_length,
                "choices": bool(field.choices),
            }
            for field in model._meta.local_concrete_fields
            if field.column
        },
        "parents": {
            field.column: [field.related_model._meta.db_table, getattr(field.remote_field.on_delete, "__name__", "")]
            for field in model._meta.local_concrete_fields
            if isinstance(field, models.ForeignKey) and not isinstance(field.related_model, str)
        },
    }


def _kind(field: models.Field[Any, Any]) -> str:
    if isinstance(field, models.ForeignKey):
        return _kind(field.target_field)
    for kind, classes in (
        ("boolean", (models.BooleanField,)),
        ("number", (models.IntegerField, models.AutoField)),
        ("text", (models.CharField, models.TextField)),
    ):
        if isinstance(field, classes):
            return kind
    return "other"
