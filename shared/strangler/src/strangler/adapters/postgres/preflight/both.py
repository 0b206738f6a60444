"""Both databases of a capability, for looks that compare them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from strangler.adapters.postgres.session.connection import Connection, describe
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.project import MONOLITH, Capability, Project

PATIENCE_MS = 2_000
NAMED = 5  # values that a message names


@dataclass(frozen=True, slots=True)
class Both:
    """``here`` are the capability's tables in the monolith, ``there`` in the service."""

    project: Project
    capability: Capability
    monolith: Connection
    service: Connection
    here: Sequence[Table]
    there: Sequence[Table]

    def at(self, side: str) -> str:
        """The place of a side's database."""
        return describe((self.monolith if side == MONOLITH else self.service).info.dsn)

    def companions(self) -> set[str]:
        """The tables of all capabilities that move to the same database."""
        return {
            table
            for each in self.project.capabilities.values()
            if each.database == self.capability.database
            for table in each.tables
        }


@contextmanager
def patience(connection: Connection) -> Iterator[None]:
    """Ends each statement in it that takes longer than `PATIENCE_MS`: psycopg's QueryCanceled."""
    connection.execute(f"SET statement_timeout = {PATIENCE_MS}")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SET statement_timeout = 0")
