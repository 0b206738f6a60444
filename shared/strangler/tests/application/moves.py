"""A move in memory, and coordinators that can be stopped and woken between any two of their calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from projects import project
from strangler.application.gates import Ready
from strangler.application.heartbeat import Heartbeat
from strangler.application.recovery import recover
from strangler.application.sides import Parts
from strangler.application.switch import switch
from strangler.domain.errors import StranglerError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE, Capability
from strangler.domain.route import Route
from strangler.testing import Client, Crashed, MemoryLedger, MemoryReplication, MemorySide, World

NAME = "crates"
CRATES = Capability(
    name=NAME,
    tables=["crate"],
    routes=[Route(frozenset({"GET", "POST"}), "/crates")],
    process="depot",
    database="depot",
)
PROJECT = project(Path("var"), capabilities={NAME: CRATES})
READY: Ready = lambda _: None  # noqa: E731


def moving(owner: str = MONOLITH) -> World:
    """A verified move of ``owner``, with rows that both sides have made."""
    world = World()
    world.begin_moving(NAME)
    verified(world)
    for _ in range(3):
        world.write(MONOLITH)
    if owner == SERVICE:
        run_switch(parts_of(world), "switch")
        world.write(SERVICE)
    return world


def verified(world: World) -> None:
    """Passes the gate that asks for a verify."""
    MemoryLedger(world).learn(NAME, verified_at=datetime.now(UTC).isoformat(), differing=0)


def parts_of(world: World, client: Client | None = None) -> Parts:
    """The parts of one process."""
    client = client or Client()
    return Parts(
        project=PROJECT,
        capability=CRATES,
        ledger=MemoryLedger(world, client),
        sides={side: MemorySide(world, side, client) for side in (MONOLITH, SERVICE)},
        replication=MemoryReplication(world, NAME, client),
    )


def run_switch(parts: Parts, verb: str, boundary: Callable[[str], None] = lambda _: None) -> None:
    """Runs the verb as its command does, while relays are at work."""

    def relaying(name: str) -> None:
        relay(parts.ledger._world)
        boundary(name)

    switch(parts, verb, ready=READY, timeout=1.0, boundary=relaying)


def run_recovery(parts: Parts) -> None:
    """Does what `strangler serve` does every second."""
    if parts.ledger.try_lock(parts.name):
        try:
            recover(parts)
        finally:
            parts.ledger.unlock(parts.name)


def relay(world: World) -> None:
    """Does what the relays of both sides do again and again."""
    for side in (MONOLITH, SERVICE):
        world.relay(side)


def at_rest(world: World, *, rounds: int = 4) -> None:
    """Lets recovery do its work, and then asserts that everything is as it must be."""
    for _ in range(rounds):
        run_recovery(parts_of(world))
        relay(world)
    move = world.moves[NAME]
    rows = {side: database.row for side, database in world.databases.items()}
    assert world.violations == []
    assert move.state is State.MOVING, move
    opened = {side: row.epoch for side, row in rows.items() if row is not None and row.open}
    assert opened == {move.owner: move.epoch}, (move, rows)
    assert not any(row is not None and row.events_held for row in rows.values())
    assert not any(database.outbox for database in world.databases.values())
    assert world.locks == {}
    assert not any(database.pausing for database in world.databases.values())
    other = SERVICE if move.owner == MONOLITH else MONOLITH
    assert rows[other] is not None
    assert rows[other].bounce_to == move.owner
    assert world.write(move.owner), "the owner takes no writes"
    assert not world.write(other)
    for side in (MONOLITH, SERVICE):
        world.deliver(side)
        assert world.rows(side) == set(world.accepted), f"rows are missing in the {side}"
    assert world.violations == []


@dataclass(eq=False)
class Coordinator:
    """A process that runs until it is told to stop: in a thread of its own, but never at the same time as another."""

    world: World
    work: Callable[[Parts], None]
    client: Client = field(init=False)
    calls: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    ended: bool = False

    def __post_init__(self) -> None:
        self.client = Client(tick=self._pause)
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._left: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def run(self, calls: int | None = None) -> bool:
        """Lets it make so many calls, or all its calls; returns whether it has ended."""
        if not self.ended:
            self._left = calls
            self._go.release()
            self._stopped.acquire()
        return self.ended

    def fall_asleep(self) -> None:
        """The server takes its lock and all that it holds; its sessions with the sides stay."""
        self.world.sleep(self.client)

    def die(self) -> None:
        """``kill -9``: all that it holds is released at once, and nothing that it does has an effect any more."""
        self.world.sleep(self.client)
        self.client.gone = True
        while not self.run():
            pass

    def _run(self) -> None:
        self._go.acquire()
        try:
            self.work(parts_of(self.world, self.client))
        except (StranglerError, Crashed) as error:
            self.failure = error
        except BaseException as error:  # noqa: BLE001  shown by the test that finds it
            self.failure = error
            self.world.violations.append(f"a coordinator failed: {error!r}")
        self.ended = True
        self._stopped.release()

    def _pause(self, call: str) -> None:
        if self._left == 0:
            self._stopped.release()
            self._go.acquire()
        if self._left is not None:
            self._left -= 1
        self.calls.append(call)
        for side in (MONOLITH, SERVICE):
            self.world.write(side)
        # Slower than the writes, so that an outbox is empty only now and then.
        if len(self.calls) % 3 == 0:
            relay(self.world)


def beating(parts: Parts) -> Heartbeat:
    """Whoever looks whether a heartbeat has come to the copy finds that `strangler serve` runs."""
    sides = {NAME: MemorySide(parts.ledger._world, MONOLITH)}
    heartbeat = Heartbeat(MemoryLedger(parts.ledger._world), sides, time.monotonic)
    heard = parts.service.heard

    def heard_of(epoch: int) -> object:
        heartbeat.turn()
        return heard(epoch)

    parts.service.heard = heard_of  # type: ignore[method-assign, assignment]
    return heartbeat
