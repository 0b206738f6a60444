"""A move that an older version of the tool has begun, before sides' rows had their ledger's id."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
import pytest
from strangler.application.ending import cancel
from strangler.application.start import STEPS, start
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError
from strangler.domain.phase import State
from test_killed import killed_at
from yard import Yard, contents

# Removes everything that newer versions have added, so that the schema is as that version installed it.
OLDER = """
ALTER TABLE strangler.side DROP COLUMN ledger;
DROP TABLE IF EXISTS strangler.secret;
COMMENT ON SCHEMA strangler IS 'side=0 ledger=0 rights=0'
"""
OLDER_LEDGER = """
DROP TABLE strangler.ledger;
DROP FUNCTION strangler.place(), strangler.claim_ledger();
DROP FUNCTION IF EXISTS strangler.ledger_upgraded()
"""
KILLED = ["before:fence copy", *(f"after:{step.name}" for step in STEPS)]


def made_older(made: Yard) -> None:
    with made.monolith() as connection:
        connection.execute(OLDER_LEDGER.encode())
    for side in ("monolith", "service"):
        with made.side(side) as connection:
            connection.execute(OLDER.encode())


def patrolled(made: Yard) -> None:
    with made.working() as parts:
        patrol(parts, lambda *_: None)


def proof(made: Yard) -> tuple[State, str, Any]:
    with made.working() as parts:
        move = parts.ledger.move("crates")
        assert move is not None
        return move.state, move.owner, move.facts.get("verified_at")


def killed_start(made: Yard, boundary: str) -> None:
    def kill(name: str) -> None:
        if name == boundary:
            raise KeyboardInterrupt

    with made.working() as parts, pytest.raises(KeyboardInterrupt):
        start(parts, progress=lambda *_: None, boundary=kill)


def cancelled(made: Yard) -> None:
    with made.working() as parts:
        cancel(parts)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", ["patrol", "verb"])
@pytest.mark.parametrize("owner", ["monolith", "service"])
def test_a_move_of_an_older_version_goes_on(moving: Yard, owner: str, first: str) -> None:
    if owner == "service":
        moving.switch()
    there, back = ("switch", "reverse") if owner == "monolith" else ("reverse", "switch")
    before = proof(moving)
    made_older(moving)

    if first == "patrol":
        patrolled(moving)
        assert proof(moving) == before
        assert moving.doctor() == []
    # On the old proof.
    moving.switch(there)

    assert datetime.fromisoformat(proof(moving)[2]) == datetime.fromisoformat(before[2])
    assert moving.verify().differing == 0
    moving.switch(back)
    assert moving.doctor() == []


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("boundary", ["after:fence owner", "after:begin opening", "after:take ownership"])
@pytest.mark.parametrize("verb", ["switch", "reverse"])
def test_a_switch_of_an_older_version_that_was_interrupted_is_brought_to_rest(
    moving: Yard, verb: str, boundary: str
) -> None:
    if verb == "reverse":
        moving.switch()
    before = proof(moving)
    killed_at(moving, verb, boundary)
    made_older(moving)

    for _ in range(3):
        patrolled(moving)

    state, owner, verified = proof(moving)
    assert (state, verified) == (State.MOVING, before[2])
    assert moving.doctor() == []
    moving.switch("switch" if owner == "monolith" else "reverse")
    assert moving.verify().differing == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("then", ["start", "cancel"])
@pytest.mark.parametrize("boundary", KILLED)
def test_a_start_of_an_older_version_that_was_killed_can_be_run_again_or_cancelled(
    ground: Yard, boundary: str, then: str
) -> None:
    killed_start(ground, boundary)
    made_older_side_by_side(ground)

    patrolled(ground)
    if then == "start":
        ground.start()
        assert ground.verify().differing == 0
    cancelled(ground)

    with ground.service() as connection:
        assert not any(contents(connection).values())


def made_older_side_by_side(made: Yard) -> None:
    """A start that was killed early has made nothing in the service yet."""
    with made.monolith() as connection:
        connection.execute(OLDER_LEDGER.encode())
    for side in ("monolith", "service"):
        with made.side(side) as connection:
            if connection.execute("SELECT to_regclass('strangler.side')").fetchone() != (None,):
                connection.execute(OLDER.encode())


def test_a_cancel_of_an_older_version_that_was_killed_is_finished(moving: Yard) -> None:
    with moving.working() as parts:
        move = parts.ledger.move("crates")
        assert move is not None
        assert parts.ledger.swap("crates", frm=State.MOVING, to=State.CANCELLING, epoch=move.epoch)
        parts.replication.forward.unsubscribe(parts.replication.session("service"))
    made_older(moving)

    cancelled(moving)

    with moving.service() as connection:
        assert not any(contents(connection).values())


@pytest.mark.parametrize(
    "other",
    [
        "UPDATE strangler.side SET peer_url = 'http://elsewhere'",
        "UPDATE strangler.side SET epoch = 9",
        "UPDATE strangler.side SET open = true",
        "streams",
    ],
)
def test_a_start_takes_no_row_of_an_older_version_that_it_may_not_have_left(ground: Yard, other: str) -> None:
    """The state after the ledger was copied while the first ledger's start was at work."""
    killed_start(ground, "after:stream forward" if other == "streams" else "after:copy rows")
    made_older(ground)
    with ground.service() as there:
        if other == "streams":
            # Another ledger's: it does not have our name, and nothing of ours comes by it.
            there.execute("ALTER SUBSCRIPTION strangler_yard_crates_forward RENAME TO theirs")
        else:
            there.execute(other.encode())
        before = contents(there)

        for act in (patrolled, Yard.start, cancelled):
            with pytest.raises(RefusedError, match="is that of no ledger by name") as refusal:
                act(ground)
        assert contents(there) == before
        with pytest.raises(psycopg.errors.UndefinedColumn):
            there.execute("SELECT ledger FROM strangler.side")

        # As the remedy says, once it is known that the side belongs to this ledger.
        statements = refusal.value.remedy[refusal.value.remedy.index("ALTER TABLE") :].removesuffix(
            " in the service's database"
        )
        there.execute(statements.encode())
        if other == "streams":
            there.execute("ALTER SUBSCRIPTION theirs RENAME TO strangler_yard_crates_forward")
    patrolled(ground)
