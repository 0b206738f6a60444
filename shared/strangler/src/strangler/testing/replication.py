"""Streams, copies and proofs in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from strangler.domain.errors import PreflightError
from strangler.domain.findings import Estimate, Finding, Looked, Severity
from strangler.domain.move import Deviation, SideRow, StreamState, other
from strangler.domain.names import FORWARD, REVERSE
from strangler.domain.passwords import Passwords
from strangler.domain.project import MONOLITH, SERVICE
from strangler.ports.replication import SHOW_ALL, Patience, Progress, Proof, Replication
from strangler.ports.side import StaleError
from strangler.testing.world import Client, World


class MemoryReplication(Replication):
    """The test sets what it will find; ``calls`` keeps what it was asked."""

    def __init__(self, world: World, capability: str, client: Client | None = None) -> None:
        self._world = world
        self._client = client or Client()
        self.capability = capability
        self.calls: list[str] = []
        self.drifted: list[str] = []
        self.unnumbered: list[str] = []
        self.refusing: list[Deviation] = []
        self.deviating: list[Deviation] = []
        self.standing: list[str] = []
        self.filtering: list[str] = []
        self.warnings: list[str] = []
        self.pointing: list[Finding] = []
        self.elsewhere: list[str] = []
        self.referring: list[str] = []
        self.cascading: list[tuple[str, str]] = []
        self.deafness: dict[str, list[str]] = {}
        self.muteness: list[str] = []
        self.hashing: dict[str, Passwords] = {}
        self.differing: list[str] = []
        self.passed: list[str] = []
        self.queued: dict[str, int] = {}
        self.running = {
            FORWARD: StreamState(FORWARD, exists=True, active=True, ready=True, lag_bytes=0, lag_seconds=0.0),
            REVERSE: StreamState(REVERSE, exists=True, active=True, ready=True, lag_bytes=0, lag_seconds=0.0),
        }
        self.is_dropped = False

    def _call(self, name: str) -> None:
        self._client.call(name)
        self.calls.append(name)

    def preflight(self, *, begun: bool, rerun: bool, tell: Callable[[str], None] = lambda _: None) -> Looked:
        self.calls.append("preflight again" if rerun else "preflight")
        tell("everything")
        hidden = self.filtering if self.drifted else []
        found = [PreflightError(one, place=self.capability, remedy=SHOW_ALL).finding() for one in hidden]
        if not hidden:
            found = [PreflightError(one, place=self.capability, remedy="migrate").finding() for one in self.drifted]
        found += self.pointing
        found += [
            Finding("note", Severity.NOTE, self.capability, one, "nothing is to be done") for one in self.warnings
        ]
        return Looked(found, ["everything"])

    def estimate(self) -> Estimate:
        return Estimate(3, 1.0, 1.0, 1.0, 3, 3, 0, 3)

    def outward(self) -> list[Finding]:
        return list(self.pointing)

    def install(self) -> None:
        self.calls.append("install")

    def cascades(self) -> list[tuple[str, str]]:
        return self.cascading

    def deaf(self, capability: str) -> list[str]:
        return self.deafness.get(capability, [])

    def mute(self) -> list[str]:
        return self.muteness

    def passwords(self) -> dict[str, Passwords]:
        return self.hashing

    def drift(self) -> list[str]:
        return self.drifted

    def misnumbered(self, owner: str) -> list[str]:
        return list(self.unnumbered)

    def deviations(self, *, completed: bool) -> list[Deviation]:
        return list(self.deviating)

    def set_right(self, found: Sequence[Deviation], *, owner: str, epoch: int) -> list[str]:
        self._call("set right")
        right = [each for each in found if each.mendable]
        self.deviating = [each for each in self.deviating if each not in right]
        return [str(each) for each in right]

    def obstacles(self) -> list[str]:
        return self.standing

    def stopped(self, owner: str, *, epoch: int, ended: bool) -> list[Deviation]:
        return list(self.refusing)

    def relieve(self, owner: str, *, epoch: int, ended: bool) -> list[str]:
        relieved, self.refusing = self.refusing, []
        return [str(each) for each in relieved]

    def filters(self) -> list[str]:
        return self.filtering

    def left_by_start(self, *, epoch: int) -> bool:
        row = self._world.databases[SERVICE].row
        return row is not None and not row.open and row.epoch <= epoch and not self.running[FORWARD].exists

    def clear(self, *, epoch: int) -> None:
        self._call("clear")
        database = self._world.databases[SERVICE]
        if database.row is None or database.row.epoch != epoch:
            raise StaleError("another command has taken this move over", place=self.capability)
        database.log.clear()
        database.arrived = 0

    def raise_fences(self, *, epoch: int, patience: Patience) -> None:
        for side, opened in ((SERVICE, False), (MONOLITH, True)):
            self._call(f"fence {side}")
            database = self._world.databases[side]
            row, ledger = database.row, self._world.ledger.id
            if row is not None and (row.epoch >= epoch or row.ledger != ledger):
                raise StaleError(f"the {side} is past epoch {epoch}, or another ledger's", place=self.capability)
            prepared = row.prepared if row else 0
            bounce_to = None if opened else MONOLITH
            database.row = SideRow(self.capability, side, epoch, opened, prepared, bounce_to, ledger=ledger)

    def copy(self, progress: Progress, patience: Patience) -> int:
        self._call("copy")
        self._world.deliver(SERVICE)
        rows = len(self._world.rows(SERVICE))
        progress(rows, rows)
        return rows

    def finish_copy(self) -> None:
        self._call("finish copy")

    def stream_forward(self, *, within: float) -> None:
        self._call("stream forward")
        self._world.deliver(SERVICE)

    def stream_reverse(self, *, within: float) -> None:
        self._call("stream reverse")

    def lost(self, *, completed: bool) -> list[str]:
        return [name for name, stream in self.running.items() if stream.lost and not (completed and name == FORWARD)]

    def renew(self, direction: str, owner: str, progress: Progress) -> int:
        self._call(f"renew {direction}")
        self.running[direction] = replace(self.running[direction], exists=True, active=True, lost=False)
        return len(self.differing)

    def sentinels(self, known: Mapping[str, str], *, completed: bool) -> tuple[dict[str, str], list[str]]:
        passed, self.passed = self.passed, []
        return dict(known), passed

    def streams(self) -> Sequence[StreamState]:
        return list(self.running.values())

    def catch_up(self, frm: str, *, within: float) -> bool:
        self._world.deliver(other(frm))
        return self._world.databases[other(frm)].streaming

    def verify(self, owner: str, progress: Progress, *, mend: bool) -> Proof:
        self._call("repair" if mend else "verify")
        proof = Proof(len(self._world.rows(owner)), len(self.differing), list(self.differing))
        if mend:
            proof.repaired = len(self.differing)
            self.differing = []
        return proof

    def readdress(self) -> list[str]:
        self.calls.append("readdress")
        readdressed, self.elsewhere = self.elsewhere, []
        return readdressed

    def end_forward(self) -> None:
        self._call("end forward")
        self.running[FORWARD] = StreamState(FORWARD)

    def end_reverse(self) -> None:
        self._call("end reverse")
        self.running[REVERSE] = StreamState(REVERSE)

    def drop_old(self) -> None:
        self._call("drop old")
        self.running[REVERSE] = StreamState(REVERSE)
        self.is_dropped = True

    def dropped(self) -> bool:
        return self.is_dropped

    def orphans(self) -> dict[str, int]:
        return self.queued

    def seams(self) -> list[str]:
        return self.referring

    def remove(self) -> None:
        self._call("remove")
        for database in self._world.databases.values():
            database.row = None

    def close(self) -> None:
        self.calls.append("close")
