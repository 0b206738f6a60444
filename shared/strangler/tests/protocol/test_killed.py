"""A coordinator that is killed between any two steps of a switch on two servers."""

from __future__ import annotations

from typing import Any

import pytest
from strangler.application.recovery import recover
from strangler.application.switch import STEPS, switch
from strangler.domain.phase import State
from strangler.testing import Crashed
from yard import Yard, contents, refused, routed

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"
BEFORE, AFTER = ([f"{moment}:{step.name}" for step in STEPS] for moment in ("before", "after"))
Parts = Any


def die(parts: Parts) -> None:
    """Ends its sessions; nothing that it tries afterwards reaches a server."""
    parts.close()
    for port in (parts.ledger, *parts.sides.values()):
        port.dsn = NOWHERE
    parts.replication.dsns = dict.fromkeys(parts.replication.dsns, NOWHERE)


def killed_at(made: Yard, verb: str, boundary: str) -> None:
    with made.working() as parts:
        routed(parts)

        def kill(name: str) -> None:
            if name == boundary:
                die(parts)
                raise Crashed

        with pytest.raises(BaseException):  # noqa: B017, PT011  nobody lives to see which
            switch(parts, verb, ready=lambda _: None, timeout=20, boundary=kill)


def recovered(made: Yard) -> str:
    """The owner after recovery has nothing left to do; there is exactly one, at the ledger's epoch."""
    with made.working() as parts:
        for _ in range(4):
            with parts.ledger.coordinating("crates"):
                recover(parts)
        move = parts.ledger.move("crates")
        rows = {name: side.row() for name, side in parts.sides.items()}
    assert move.state is State.MOVING
    assert {name: row.epoch for name, row in rows.items() if row.open} == {move.owner: move.epoch}
    return str(move.owner)


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param((BEFORE, AFTER), id="after a step on the way back"),
        pytest.param((AFTER, BEFORE), id="before a step on the way back", marks=pytest.mark.soak),
    ],
)
def test_there_is_one_owner_whenever_a_coordinator_is_killed(moving: Yard, rounds: tuple[list[str], list[str]]) -> None:
    """After one step is the same as before the next for all that can be seen, so that each day one of them will do."""
    owner = "monolith"
    first, second = rounds
    for number, boundary in enumerate([*first, *second]):
        verb = "switch" if owner == "monolith" else "reverse"
        killed_at(moving, verb, boundary)

        owner = recovered(moving)

        with moving.side(owner) as here, moving.side("service" if owner == "monolith" else "monolith") as there:
            assert refused(there, "UPDATE ticket SET number = 1") == "SF001", boundary
            here.execute("INSERT INTO visit (took) VALUES ('1 day')")
            here.execute("UPDATE ticket SET number = %s WHERE id = 1", (number,))
            moving.catch_up(owner)
            assert contents(there) == contents(here), boundary
        if number == len(first) - 1:
            # The second round goes in the other direction at each boundary.
            moving.switch("switch" if owner == "monolith" else "reverse")
            owner = "service" if owner == "monolith" else "monolith"
    assert moving.verify().differing == 0
