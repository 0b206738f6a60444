"""What the catalog of a database says of the project that it belongs to: tables by app, and foreign keys."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import LiteralString

import psycopg

from strangler.adapters.postgres.session.connection import Connection, connect, database_of
from strangler.adapters.postgres.tables import catalog
from strangler.init.described import App, Described, Reference, Table
from strangler.init.dividing import SERVING

# Of the apps that each database numbers: what a foreign key to their tables holds.
NUMBERED = {
    "django_content_type": "content types",
    "auth_permission": "permissions",
    "auth_group": "groups",
    "django_site": "sites",
}
KNOWN: dict[str, LiteralString] = {
    "django_content_type": "SELECT DISTINCT app_label FROM public.django_content_type",
    "django_migrations": "SELECT DISTINCT app FROM public.django_migrations",
}
KEYS = catalog.with_names("""
SELECT NAME_OF(child, cn), a.attname, NAME_OF(parent, pn), b.attname
FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
JOIN pg_class parent ON parent.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = parent.relnamespace
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, a.attnum
""")
# Tables with a key of one column and two foreign keys, and nothing else: Django's many-to-many relations.
JOINS = catalog.with_names("""
SELECT NAME_OF(c, n) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
AND (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) = 3
AND (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f') = 2
""")


def describe(address: str) -> Described:
    """The project of the database at this address. Apps are told by the names of tables.

    Raises:
        StranglerError: the database cannot be asked.
    """
    with connect(address, purpose="init") as connection:
        names = [name for name in catalog.all_tables(connection) if not name.startswith("strangler.")]
        labels = _labels(connection, names)
        joins = {row[0] for row in connection.execute(JOINS.encode()).fetchall()}
        tables = [Table(name, _app(name, labels), joins=name in joins) for name in names]
        return Described(
            name=database_of(connection),
            whole=False,
            apps={one.app: _told(one.app) for one in tables},
            tables=tables,
            references=[
                Reference(table, column, to, to_column, numbers=NUMBERED.get(to))
                for table, column, to, to_column in connection.execute(KEYS.encode()).fetchall()
            ],
        )


def complete(described: Described, address: str) -> Described:
    """The project, with the tables of the database that no model has, and with what these refer to.

    Raises:
        StranglerError: the database cannot be asked.
    """
    there = describe(address)
    modelled = {table.name for table in described.tables}
    left = [table.name for table in there.tables if table.name not in modelled]
    more = [one for one in there.references if one.table in left]
    return replace(described, unmodelled=left, references=[*described.references, *more])


def _told(label: str) -> App:
    return App(label, "django" if label == "django" else label, own=label not in SERVING and label != "django")


def _labels(connection: Connection, names: Collection[str]) -> Collection[str]:
    """The labels of the apps that Django itself has noted there."""
    found = {"django"}
    for table, query in KNOWN.items():
        if table in names:
            # A role that may not read it still sees the names of tables.
            with suppress(psycopg.errors.InsufficientPrivilege):
                found |= {row[0] for row in connection.execute(query).fetchall()}
    return found


def _app(table: str, labels: Collection[str]) -> str:
    """The app that a table is named for: the longest label that it begins with, else its first word."""
    bare = table.rpartition(".")[2]
    fitting = [label for label in labels if bare.startswith(f"{label}_")]
    return max(fitting, key=len) if fitting else bare.partition("_")[0]
