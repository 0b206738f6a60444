"""One side's database in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from strangler.domain.move import SideRow, other
from strangler.domain.phase import State
from strangler.domain.position import Position
from strangler.ports.side import BlockedError, Blocker, LostError, Side, StaleError
from strangler.testing.world import Client, Database, Opening, World


class MemorySide(Side):
    """A client's sessions with one side of a world."""

    def __init__(self, world: World, side: str, client: Client | None = None) -> None:
        self.side = side
        self._world = world
        self._client = client or Client()
        self.busy: list[Blocker] = []
        self.vacuumed: list[str] = []

    @property
    def _database(self) -> Database:
        return self._world.databases[self.side]

    @property
    def _row(self) -> SideRow:
        row = self._database.row
        if row is None:
            raise StaleError("no move has begun here", place=self.side)
        return row

    def _call(self, name: str) -> None:
        self._client.call(name)
        if self._client in self._database.broken:
            self._database.broken.discard(self._client)
            raise LostError("the server went away", place=self.side)
        self._database.sessions.add(self._client)

    @property
    def has_outbox(self) -> bool:
        return self._world.outboxes

    def close(self) -> None:
        """Ends the session; an open transaction is rolled back."""
        if self._mine() is not None:
            self._database.opening = None

    def hurry(self, seconds: float | None) -> None:
        """No session in memory stands still."""

    def row(self) -> SideRow | None:
        self._call("row")
        return self._database.row

    def adopt(self, ledger: str) -> None:
        self._call("adopt")
        if self._row.ledger is None:
            self._world.put(self.side, ledger=ledger)

    def warm(self) -> None:
        """Nothing is compiled in memory."""

    def fence(self, *, expected: int, target: int, statement_ms: int) -> tuple[UUID, dict[str, int]]:
        self._call("pause")
        if self._row.open and self._row.epoch == expected:
            self._database.pausing = True
        self._call("fence")
        try:
            self._world.lock_tables(self._database, self._client, statement_ms=statement_ms)
        except BlockedError:
            self._database.pausing = False
            raise
        if not self._row.open or self._row.epoch != expected:
            raise StaleError(f"not open here at epoch {expected}", place=self.side)
        self._database.pausing = False
        self._world.put(self.side, open=False, epoch=target, bounce_to=None, events_held=False)
        return self.mark()

    def reopen(self, *, target: int) -> None:
        self._call("reopen")
        row = self._row
        if row.open and row.epoch < target:
            self._database.pausing = False
            self._world.put(self.side, epoch=target)
        elif not (row.open and row.epoch == target):
            self._world.lock_tables(self._database, self._client, statement_ms=0)
            self._check_open(target)
            self._open(target)

    def begin_opening(self, *, target: int, statement_ms: int, hold_events: bool = False) -> None:
        self._call("begin opening")
        self._world.lock_tables(self._database, self._client, statement_ms=statement_ms)
        opening = self._database.opening = Opening(self._client, target, hold_events=hold_events)
        try:
            self._check_open(target)
        except StaleError:
            opening.failed = True
            raise

    def still_opening(self) -> None:
        self._call("still opening")
        self._opening()

    def swap_ledger(self, *, frm: State, to: State, epoch: int, new_epoch: int, owner: str) -> bool:
        self._call(f"swap to {to}")
        self._world.lock_ledger(self._client)
        opening, capability = self._opening(), self._row.capability
        if not self._world.is_at(capability, frm, epoch):
            return False
        opening.change = lambda: self._world.become(capability, to, new_epoch, owner, None)
        return True

    def open(self) -> None:
        self._call("open")
        opening = self._opening()
        self._database.opening = None
        if opening.failed:
            raise self._gone()
        if opening.change is not None:
            opening.change()
        self._open(opening.target, hold_events=opening.hold_events)

    def drop_opening(self) -> None:
        if self._mine() is not None:
            self._call("drop opening")
            self._database.opening = None

    def mark(self) -> tuple[UUID, dict[str, int]]:
        self._call("mark")
        marker = uuid4()
        self._database.log.append(marker)
        return marker, {"rows": self._database.sequence}

    def await_marker(self, marker: UUID, *, within: float) -> bool:
        self._call("await marker")
        self._world.deliver(self.side)
        return marker in self._world.databases[other(self.side)].log[: self._database.arrived]

    def prepare(self, *, target: int, positions: dict[str, int]) -> None:
        self._call("prepare")
        if self._row.open or self._row.epoch > target:
            raise StaleError(f"cannot be prepared here for epoch {target}", place=self.side)
        database = self._database
        database.sequence = max(database.sequence, positions.get("rows", 0), *self._world.rows(self.side), 0)
        database.flushed = database.arrived
        self._world.put(self.side, prepared=target)

    def backlog(self) -> int | None:
        self._call("backlog")
        return len(self._database.outbox) if self.has_outbox else None

    def release_events(self, *, epoch: int) -> bool:
        self._call("release events")
        if not self._row.open or self._row.epoch != epoch:
            return False
        self._world.put(self.side, events_held=False)
        return True

    def bounce(self, to: str | None, *, epoch: int) -> None:
        self._call("bounce")
        row = self._database.row
        if row is not None and not row.open and row.epoch <= epoch:
            self._world.put(self.side, bounce_to=to)

    def unused(self) -> float | None:
        self._call("unused")
        return self._database.unused

    def reads(self) -> list[tuple[str, float]]:
        self._call("reads")
        return self._database.reads

    def blockers(self) -> Sequence[Blocker]:
        return self.busy

    def vacuums(self) -> Sequence[str]:
        return self.vacuumed

    def deadlock_ms(self) -> int:
        return 1000

    def share_reads(self, terms: Mapping[str, object] | None, *, epoch: int) -> bool:
        self._call("share reads")
        row = self._database.row
        if terms is None:
            if row is not None and row.reads:
                self._world.put(self.side, reads={})
            return True
        if row is None or row.epoch != epoch:
            return False
        self._world.put(self.side, reads=dict(terms))
        return True

    def position(self, epoch: int) -> Position:
        return Position(epoch, 1, len(self._database.log))

    def beat(self, epoch: int) -> None:
        self._call("beat")
        at = self.position(epoch)
        self._database.log.append(uuid4())
        self._database.beats.append((at, len(self._database.log)))

    def heard(self, epoch: int) -> tuple[Position, float] | None:
        self._world.deliver(self.side)
        sent = self._world.databases[other(self.side)].beats
        here = [at for at, end in sent if at.epoch == epoch and end <= self._database.arrived]
        return (here[-1], 0.0) if here else None

    def _mine(self) -> Opening | None:
        opening = self._database.opening
        return opening if opening is not None and opening.client is self._client else None

    def _opening(self) -> Opening:
        opening = self._mine()
        if opening is None:
            raise self._gone()
        return opening

    def _gone(self) -> LostError:
        return LostError("the session that held the tables is gone", place=self.side)

    def _check_open(self, target: int) -> None:
        if self._row.open or self._row.epoch > target:
            raise StaleError(f"cannot be opened here at epoch {target}", place=self.side)

    def _open(self, target: int, *, hold_events: bool = False) -> None:
        self._database.pausing = False
        self._world.put(self.side, open=True, epoch=target, bounce_to=None, events_held=hold_events)
