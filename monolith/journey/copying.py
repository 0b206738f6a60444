"""COPY of Arrow tables into the tables of models."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from django.core.management.color import no_style
from django.db import connection
from django.db.models import Model
from pyarrow import csv

BATCH = 50_000
WITHOUT_HEADER = csv.WriteOptions(include_header=False)

FOREIGN_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY (%s::regclass[]) ORDER BY conname
"""
INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid = ANY (%s::regclass[])
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) ORDER BY 1
"""


def copy(model: type[Model], rows: pa.Table, advance: Callable[[int], None]) -> None:
    """Add all rows; ``advance`` is told after each batch how many they were."""
    names = ", ".join(connection.ops.quote_name(name) for name in rows.column_names)
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as out:
        for batch in rows.to_batches(max_chunksize=BATCH):
            text = io.BytesIO()
            csv.write_csv(batch, text, WITHOUT_HEADER)
            out.write(text.getbuffer())
            advance(len(batch))


@contextmanager
def bare_tables(models: Iterable[type[Model]]) -> Iterator[None]:
    """Takes foreign keys and secondary indexes away, and builds them again from all rows at the end.

    Needs a transaction: when the block fails, its rollback brings them back. This is faster than checking millions of
    rows one by one. And the owner of the tables may do it, but may not switch triggers off.
    """
    tables = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        cursor.execute(FOREIGN_KEYS, [tables])
        keys = cursor.fetchall()
        for table, name, _ in keys:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        cursor.execute(INDEXES, [tables])
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        yield
        for _, definition in indexes:
            cursor.execute(definition)
        for table, name, definition in keys:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def filled(models: Iterable[type[Model]]) -> list[str]:
    """The tables that hold rows."""
    return [model._meta.db_table for model in models if model._default_manager.exists()]


def dropped(models: Iterable[type[Model]]) -> list[str]:
    """The tables that no longer exist, because they have moved for good."""
    there = set(connection.introspection.table_names())
    return [model._meta.db_table for model in models if model._meta.db_table not in there]


def empty(models: Iterable[type[Model]]) -> None:
    """Deletes all rows of the tables, and of all tables that refer to them."""
    tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")


def set_sequences(models: Iterable[type[Model]]) -> None:
    """Sets the next id of each table above all ids that were loaded."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), list(models)):
            cursor.execute(statement)


def analyze(models: Iterable[type[Model]]) -> None:
    """Without statistics, PostgreSQL would plan the first minutes of traffic for empty tables."""
    tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in models)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {tables}")
