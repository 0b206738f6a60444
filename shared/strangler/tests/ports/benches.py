"""The benches on which the tests of the ports run."""

from __future__ import annotations

from collections.abc import Mapping

from strangler.adapters.postgres.fences import fences
from strangler.adapters.postgres.schema import installing
from strangler.adapters.postgres.schema.ledger import PostgresLedger
from strangler.adapters.postgres.schema.outbox import Outbox
from strangler.adapters.postgres.schema.side import PostgresSide
from strangler.adapters.postgres.session.connection import connect
from strangler.adapters.postgres.tables import catalog
from strangler.domain.move import SideRow
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.replication import Patience
from strangler.testing import Client, MemoryLedger, MemorySide, World

NAME = "crates"


class MemoryBench:
    """Each port that is asked for belongs to another process."""

    def __init__(self) -> None:
        self.world = World()
        for side, opened in ((MONOLITH, True), (SERVICE, False)):
            self.world.databases[side].row = SideRow(NAME, side, 1, opened, 0, None if opened else MONOLITH)

    def ledger(self) -> MemoryLedger:
        return MemoryLedger(self.world, Client())

    def side(self, name: str) -> MemorySide:
        return MemorySide(self.world, name, Client())

    def write(self, side: str) -> int:
        """A row with the next number of the side's sequence."""
        assert self.world.write(side)
        return self.world.databases[side].sequence

    def tell(self, side: str) -> None:
        """Leaves an event in the side's outbox."""
        self.world.databases[side].outbox.append(0)

    def stream(self, *, runs: bool) -> None:
        """Whether what one side has committed arrives on the other."""
        for database in self.world.databases.values():
            database.streaming = runs

    def deliver(self, to: str) -> None:
        self.world.deliver(to)


class PostgresBench:
    """The same over two databases; markers are carried by hand."""

    def __init__(self, dsns: Mapping[str, str]) -> None:
        self.dsns = dsns
        self.runs = True
        self._opened: list[PostgresLedger | PostgresSide] = []
        for side, opened in ((MONOLITH, True), (SERVICE, False)):
            with connect(dsns[side], purpose="test") as connection:
                connection.execute("DROP SCHEMA IF EXISTS strangler CASCADE")
                connection.execute("DROP TABLE IF EXISTS public.crate, public.outgoing")
                connection.execute("CREATE TABLE public.outgoing (capability text NOT NULL)")
                installing.install(connection)
                connection.execute("CREATE TABLE public.crate (id serial PRIMARY KEY)")
                fences.raise_fences(
                    connection,
                    capability=NAME,
                    side=side,
                    opened=opened,
                    epoch=1,
                    tables=catalog.read_tables(connection, ["crate"], database=side),
                    peer_url="http://peer",
                    routes=[],
                    patience=Patience(),
                )

    def close(self) -> None:
        for port in self._opened:
            port.close()

    def ledger(self) -> PostgresLedger:
        self._opened.append(made := PostgresLedger(self.dsns[MONOLITH]))
        return made

    def side(self, name: str) -> PostgresSide:
        self._opened.append(made := PostgresSide(NAME, name, self.dsns[name], outbox=Outbox(name, "outgoing")))
        return made

    def write(self, side: str) -> int:
        with connect(self.dsns[side], purpose="test") as connection:
            row = connection.execute("INSERT INTO public.crate DEFAULT VALUES RETURNING id").fetchone()
            assert row is not None
            return int(row[0])

    def tell(self, side: str) -> None:
        with connect(self.dsns[side], purpose="test") as connection:
            connection.execute("INSERT INTO public.outgoing VALUES (%s), ('another')", (NAME,))

    def stream(self, *, runs: bool) -> None:
        self.runs = runs

    def deliver(self, to: str) -> None:
        if not self.runs:
            return
        frm = SERVICE if to == MONOLITH else MONOLITH
        with connect(self.dsns[frm], purpose="test") as here, connect(self.dsns[to], purpose="test") as there:
            for row in here.execute("SELECT capability, id, written_at FROM strangler.marker").fetchall():
                there.execute("INSERT INTO strangler.marker VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", row)
