"""Two databases and a ledger in memory, and the clients that act on them one call at a time.

Note "violations": after every single change the world looks for states that must never be, such as two open sides, and
keeps them in ``World.violations``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

from strangler.domain.move import Entry, Identity, Move, SideRow, other
from strangler.domain.phase import State, busy
from strangler.domain.position import Position
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.side import BlockedError, LostError

LEDGER = "11111111-1111-1111-1111-111111111111"


class Crashed(BaseException):
    """Ends a client like ``kill -9``: nothing that it tries from then on has an effect."""


@dataclass(eq=False)
class Client:
    """A process with sessions of its own.

    ``tick`` is called before each of its calls with the call's name: the place to stop it, or to raise.
    """

    name: str = "client"
    tick: Callable[[str], None] = lambda _: None
    gone: bool = False
    ledger_lost: bool = False

    def call(self, name: str) -> None:
        """Called before every effect.

        Raises:
            Crashed: when the process has been killed.
        """
        if not self.gone:
            self.tick(name)
        if self.gone:
            raise Crashed


@dataclass
class Opening:
    """A transaction that has opened a side, and perhaps changed the ledger, but has not committed."""

    client: Client
    target: int
    hold_events: bool = False
    failed: bool = False
    change: Callable[[], None] | None = None


@dataclass
class Database:
    """One side: its row, all that was committed here in order, and how much of the other side's log has arrived.

    A crash loses what had arrived but was not ``flushed``, for a stream commits asynchronously. ``outbox`` has the
    epochs at which its events were made.
    """

    side: str
    row: SideRow | None = None
    pausing: bool = False
    log: list[int | UUID] = field(default_factory=list)
    arrived: int = 0
    flushed: int = 0
    sequence: int = 0
    opening: Opening | None = None
    streaming: bool = True
    outbox: list[int] = field(default_factory=list)
    beats: list[tuple[Position, int]] = field(default_factory=list)  # each with the length of the log behind it
    relaying: bool = True
    unused: float | None = 86_400.0
    reads: list[tuple[str, float]] = field(default_factory=list)
    sessions: set[Client] = field(default_factory=set)
    broken: set[Client] = field(default_factory=set)


class World:
    """Everything that outlives clients: both databases, the ledger with its locks, and the writes of an application."""

    def __init__(self) -> None:
        self.databases = {side: Database(side) for side in (MONOLITH, SERVICE)}
        self.installed = False
        self.ledger = Identity(LEDGER, home=True)
        self.moves: dict[str, Move] = {}
        self.history: list[tuple[str, str, int | None]] = []
        self.entries: list[tuple[str, Entry]] = []
        self.agents: dict[str, dict[str, int]] = {"agent": {}}
        self.agents_follow = True
        self.locks: dict[str, Client] = {}
        self.changes = 0
        self.accepted: list[int] = []
        self.violations: list[str] = []
        self.outboxes = True
        self.sent: list[int] = []

    def begin_moving(self, capability: str) -> None:
        """A move whose streams run, at epoch 1 and owned by the monolith."""
        self.installed = True
        self.moves[capability] = Move(capability, State.MOVING, 1, MONOLITH, None, None)
        for side, opened in ((MONOLITH, True), (SERVICE, False)):
            self.databases[side].row = SideRow(
                capability, side, 1, opened, 0, None if opened else MONOLITH, ledger=LEDGER
            )

    # What applications and streams do

    def write(self, side: str) -> bool:
        """A client's write, with the next number of the side's sequence; False if it is refused or has to wait."""
        database = self.databases[side]
        if database.row is not None and (not database.row.open or database.opening is not None):
            return False
        database.sequence += 1
        if database.sequence in self.rows(side):
            self.violations.append(f"the {side} gave out {database.sequence} again")
        database.log.append(database.sequence)
        self.accepted.append(database.sequence)
        if self.outboxes and database.row is not None:
            database.outbox.append(database.row.epoch)
        return True

    def relay(self, side: str) -> None:
        """Sends the events in the side's outbox, unless they are held; an owner's events never come before an earlier
        owner's."""
        database = self.databases[side]
        if not database.relaying or (database.row is not None and database.row.events_held):
            return
        self.sent += database.outbox
        database.outbox.clear()
        if self.sent != sorted(self.sent):
            self.violations.append(f"the {side} sent events before those of an earlier owner")

    def rows(self, side: str) -> set[int]:
        """The application's rows that a side has: its own, and those that have arrived."""
        database, peer = self.databases[side], self.databases[other(side)]
        entries = [*database.log, *peer.log[: database.arrived]]
        return {entry for entry in entries if isinstance(entry, int)}

    def deliver(self, to: str) -> None:
        """Lets everything that the other side has committed arrive."""
        database, peer = self.databases[to], self.databases[other(to)]
        if not database.streaming:
            return
        late = [entry for entry in peer.log[database.arrived :] if isinstance(entry, int)]
        if late and database.row is not None and database.row.open:
            self.violations.append(f"rows arrived at the {to} while it was open")
        database.arrived = len(peer.log)

    def crash(self, side: str) -> None:
        """The server dies and comes back: sessions, open transactions and everything that was not flushed are gone."""
        database = self.databases[side]
        database.opening = None
        database.broken |= database.sessions
        database.sessions.clear()
        database.arrived = database.flushed
        if side == MONOLITH:
            for client in self.locks.values():
                client.ledger_lost = True
            self.locks.clear()

    # What clients do to each other

    def sleep(self, client: Client) -> None:
        """The server takes from a client that stands still all that it holds: its lock, and any open transaction."""
        for capability in [name for name, holder in self.locks.items() if holder is client]:
            del self.locks[capability]
            client.ledger_lost = True
        self.drop_opening(client)

    def drop_opening(self, client: Client) -> None:
        """Rolls back a transaction that a client has left open."""
        for database in self.databases.values():
            if database.opening is not None and database.opening.client is client:
                database.opening = None

    def lock_tables(self, database: Database, client: Client, *, statement_ms: int) -> None:
        """Waits for the tables; during a wait without a limit the server ends an idle session that holds them.

        Raises:
            BlockedError: when the wait has a limit.
        """
        if database.opening is None or database.opening.client is client:
            return
        if statement_ms:
            raise BlockedError("the tables were not free", place=database.side)
        database.opening = None

    def lock_ledger(self, client: Client) -> None:
        """The same for the ledger's row."""
        for database in self.databases.values():
            opening = database.opening
            if opening is not None and opening.change is not None and opening.client is not client:
                database.opening = None

    def lock(self, capability: str, client: Client) -> bool:
        """Takes a coordinator's lock if nobody else has it."""
        holder = self.locks.setdefault(capability, client)
        return holder is client

    def refuse_second(self, capability: str, client: Client) -> None:
        """Raises RefusedError when another client has the lock."""
        if not self.lock(capability, client):
            raise busy(capability)

    def is_at(self, capability: str, state: State, epoch: int) -> bool:
        """Whether the ledger has the move there."""
        present = self.moves.get(capability)
        return present is not None and present.state is state and present.epoch == epoch

    def become(self, capability: str, to: State, epoch: int, owner: str | None, intent: str | None) -> None:
        """Changes the ledger's row of a move; the owner stays if none is given."""
        present = self.moves[capability]
        self.write_move(replace(present, state=to, epoch=epoch, owner=owner or present.owner, intent=intent, step=None))

    def write_move(self, move: Move) -> None:
        """Puts a row into the ledger, and wakes all clients that listen."""
        self.moves[move.capability] = move
        self.changes += 1

    def put(self, side: str, **changes: object) -> None:
        """Changes a side's row in one commit, and looks for violations."""
        database = self.databases[side]
        assert database.row is not None
        was_open = database.row.open
        database.row = replace(database.row, **changes)  # type: ignore[arg-type]
        if database.row.open and not was_open:
            self._look_at_opening(side)
        opened = [name for name, each in self.databases.items() if each.row is not None and each.row.open]
        if len(opened) > 1:
            self.violations.append("two sides are open")

    def _look_at_opening(self, side: str) -> None:
        database, peer = self.databases[side], self.databases[other(side)]
        if any(isinstance(entry, int) for entry in peer.log[database.arrived :]):
            self.violations.append(f"the {side} was opened before all had arrived")


def lost(client: Client) -> LostError:
    """The error of a session that has ended meanwhile; the next use opens a new session."""
    client.ledger_lost = False
    return LostError("the server went away: this session was ended")
