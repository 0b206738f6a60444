"""Access to both databases of one capability: sessions, tables, and the streams between them."""

from __future__ import annotations

from collections.abc import Mapping

from strangler.adapters.postgres.preflight import readers
from strangler.adapters.postgres.schema import owners
from strangler.adapters.postgres.session.connection import Connection, connect, database_of
from strangler.adapters.postgres.streams.streams import Stream
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.tables.catalog import Table
from strangler.domain.errors import ConfigurationError
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.project import MONOLITH, SERVICE, Capability, Project


class Ends:
    """``dsns`` and ``replication_dsns`` say, by side, how the tool and how the other server reach each database."""

    def __init__(
        self,
        project: Project,
        capability: Capability,
        *,
        dsns: Mapping[str, str],
        replication_dsns: Mapping[str, str],
        urls: Mapping[str, str],
    ) -> None:
        self.project = project
        self.capability = capability
        self.dsns = dsns
        self.urls = urls
        self._publishers = replication_dsns
        self._streams: dict[str, Stream] = {}
        self._looked_at: set[str] = set()
        self._queued = ""
        self._open: dict[tuple[str, str], Connection] = {}

    @property
    def forward(self) -> Stream:
        """The stream monolith → service."""
        return self._stream(FORWARD, MONOLITH)

    @property
    def reverse(self) -> Stream:
        """The stream service → monolith."""
        return self._stream(REVERSE, SERVICE)

    def session(self, side: str, purpose: str = "replicate") -> Connection:
        """A session on one side, opened when needed."""
        present = self._open.get((side, purpose))
        if present is None or present.closed:
            purpose_of_it = f"{purpose} {self.capability.name}"
            present = owners.trusted(connect(self.dsns[side], purpose=purpose_of_it, idle_ms=60_000))
            self._open[side, purpose] = present
        return present

    def close(self) -> None:
        """Ends one session per side and purpose."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def tables(self, side: str) -> list[Table]:
        """The capability's tables as one side has them, partitions included."""
        database = self.project.ledger if side == MONOLITH else self.capability.database
        try:
            return catalog.read_tables(self.session(side), self.capability.tables, database=database)
        except ConfigurationError:
            readers.tables_are_tables(self.session(side), self.capability.tables, database=database)
            raise

    def dropped(self) -> bool:
        """By the monolith's catalogue."""
        present = catalog.all_tables(self.session(MONOLITH))
        return not any(table in present for table in self.capability.tables)

    def _present(self, side: str) -> list[Table]:
        """The capability's tables that one side still has."""
        there = catalog.all_tables(self.session(side))
        names = [name for name in self.capability.tables if name in there]
        return catalog.read_tables(self.session(side), names, database=side)

    def _stream(self, direction: str, sender: str) -> Stream:
        if direction not in self._streams:
            database = database_of(self.session(sender))
            self._streams[direction] = Stream(self.capability.name, direction, self._publishers[sender], database)
        return self._streams[direction]

    def _ends(self, *, completed: bool) -> list[tuple[Stream, str, str]]:
        forward = [] if completed else [(self.forward, MONOLITH, SERVICE)]
        return [*forward, (self.reverse, SERVICE, MONOLITH)]
