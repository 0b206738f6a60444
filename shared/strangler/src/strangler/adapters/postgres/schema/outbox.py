"""The table in which a side's applications leave their messages until a relay has sent them."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from strangler.adapters.postgres.session.connection import Connection, scalar
from strangler.domain.errors import ConfigurationError, PreflightError

COUNTED_ROWS = 10_000  # no more than so many are counted, for the number is asked many times per second

COLUMN = """
SELECT has_table_privilege(a.attrelid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'capability' AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relname = %s AND n.nspname = %s
"""


@dataclass(frozen=True, slots=True)
class Outbox:
    """``table`` as strangler.toml spells it for ``database``."""

    database: str
    table: str

    def backlog(self, connection: Connection, capability: str) -> int:
        """How many rows of the capability wait, counted up to a limit.

        Raises:
            ConfigurationError: there is no such table, or it has no column ``capability``.
            PreflightError: the tool's role may not read it.
        """
        query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE capability = {} LIMIT {}) waiting").format(
            self._name(), sql.Literal(capability), sql.Literal(COUNTED_ROWS)
        )
        try:
            return int(scalar(connection, query))
        except (
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.InsufficientPrivilege,
        ):
            self.require(connection)
            raise

    def require(self, connection: Connection) -> None:
        """Checks that the outbox can be read.

        Raises:
            ConfigurationError, PreflightError: as `backlog`.
        """
        schema, _, name = self.table.rpartition(".")
        readable = scalar(connection, COLUMN, name, schema or "public")
        place = f"strangler.toml: databases.{self.database}.outbox"
        if readable is None:
            raise ConfigurationError(
                f"there is no table {self.table} with a column capability in the database {self.database}",
                place=place,
                remedy="run its migrations, or correct the name",
                id="outbox-missing",
            )
        if not readable:
            role = connection.info.user
            raise PreflightError(
                f"the role {role} may not read {self.table}",
                place=place,
                remedy=f"GRANT SELECT ON {self._name().as_string(connection)} TO {role}",
                id="rights-missing",
            )

    def _name(self) -> sql.Identifier:
        schema, _, name = self.table.rpartition(".")
        return sql.Identifier(schema or "public", name)
