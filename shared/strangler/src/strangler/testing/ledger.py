"""The ledger in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from strangler.domain import canary
from strangler.domain.canary import TURN
from strangler.domain.move import Entry, Identity, Move
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH
from strangler.ports.ledger import Ledger
from strangler.ports.side import StaleError
from strangler.testing.world import Client, World, lost


class MemoryLedger(Ledger):
    """A client's session with the ledger of a world; a client that has slept has lost its session and its lock."""

    def __init__(self, world: World, client: Client | None = None) -> None:
        self._world = world
        self._client = client or Client()
        self._heard = 0

    def _call(self, name: str) -> None:
        self._client.call(name)
        if self._client.ledger_lost:
            raise lost(self._client)

    def install(self) -> None:
        self._world.installed = True

    def close(self) -> None:
        for capability in [name for name, holder in self._world.locks.items() if holder is self._client]:
            del self._world.locks[capability]

    def exists(self) -> bool:
        return self._world.installed

    def identity(self) -> Identity | None:
        self._call("identity")
        return self._world.ledger if self._world.installed else None

    def moves(self) -> list[Move]:
        return [self._world.moves[name] for name in sorted(self._world.moves)]

    def move(self, capability: str) -> Move | None:
        self._call("move")
        return self._world.moves.get(capability)

    @contextmanager
    def coordinating(self, capability: str) -> Iterator[None]:
        self._call("lock")
        self._world.refuse_second(capability, self._client)
        try:
            yield
        finally:
            self.unlock(capability)

    def try_lock(self, capability: str) -> bool:
        self._call("lock")
        return self._world.lock(capability, self._client)

    def unlock(self, capability: str) -> None:
        if not self._client.gone and self._world.locks.get(capability) is self._client:
            del self._world.locks[capability]

    def begin(self, capability: str) -> Move:
        self._call("begin")
        present = self._world.moves.get(capability)
        if present is None:
            used = [epoch or 0 for name, _, epoch in self._world.history if name == capability]
            self._world.write_move(Move(capability, State.STARTING, 1 + max(used, default=0), MONOLITH, "start", None))
        elif present.state is State.STARTING:
            self._world.write_move(replace(present, epoch=present.epoch + 1, facts={}))
        return self._world.moves[capability]

    def swap(
        self,
        capability: str,
        *,
        frm: State,
        to: State,
        epoch: int,
        new_epoch: int | None = None,
        owner: str | None = None,
        intent: str | None = None,
    ) -> bool:
        self._call(f"swap to {to}")
        self._world.lock_ledger(self._client)
        if not self._world.is_at(capability, frm, epoch):
            return False
        self._world.become(capability, to, epoch if new_epoch is None else new_epoch, owner, intent)
        return True

    def note_step(self, capability: str, step: str, *, epoch: int) -> None:
        self._call(f"note {step}")
        present = self._world.moves.get(capability)
        if present is None or present.epoch != epoch:
            raise StaleError("another command has taken this move over", place=capability)
        self._world.write_move(replace(present, step=step))

    def learn(self, capability: str, **facts: object) -> None:
        self._call("learn")
        present = self._world.moves.get(capability)
        if present is not None:
            self._world.write_move(replace(present, facts={**present.facts, **facts}))

    def forget(self, capability: str) -> None:
        self._call("forget")
        self._world.moves.pop(capability, None)
        self._world.changes += 1

    def record(
        self, capability: str, what: str, *, epoch: int | None = None, took_ms: float | None = None, **details: object
    ) -> None:
        self._call("record")
        self._world.history.append((capability, what, epoch))
        number = len(self._world.history)
        self._world.entries.append((capability, Entry(number, what, datetime.now(UTC), took_ms, details)))

    def history(self, capability: str, *, after: int = 0) -> list[Entry]:
        self._call("history")
        return [entry for name, entry in self._world.entries if name == capability and entry.number > after]

    def archived_at(self) -> datetime | None:
        """There is no archive here."""
        self._call("archived")
        return None

    def agent_seen(self, agent: str, epochs: Mapping[str, int]) -> None:
        self._world.agents[agent] = dict(epochs)

    def agent_gone(self, agent: str) -> None:
        self._world.agents.pop(agent, None)

    def agents(self, *, within: float) -> dict[str, dict[str, int]]:
        """All agents; agents that follow the ledger have its state live at once."""
        if not self._world.agents_follow:
            return dict(self._world.agents)
        moves = self._world.moves
        present = {name: move.epoch for name, move in moves.items()}
        present |= {f"{name}{TURN}": canary.of(move).turn for name, move in moves.items()}
        return {agent: {**epochs, **present} for agent, epochs in self._world.agents.items()}

    def listen(self) -> None:
        self._heard = self._world.changes

    def await_change(self, *, within: float) -> bool:
        heard, self._heard = self._heard, self._world.changes
        return heard != self._world.changes
