"""What keeps a switch from beginning, on two servers: each gate names it, and nothing has changed."""

from __future__ import annotations

import pytest
from servers import eventually
from strangler.domain.errors import RefusedError
from yard import Yard, opened


def test_a_transaction_that_has_been_open_for_long_shuts_a_gate(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE reading SET value = 1 WHERE sensor = 1")
        eventually(lambda: _age(moving) > 1.0)
        with pytest.raises(RefusedError, match=r"(?s)gate transactions \(monolith\).*UPDATE reading"):
            moving.switch(timeout=0.1)

    assert opened(moving)["monolith"] == (True, 1)


def _age(made: Yard) -> float:
    with made.working() as parts:
        return max(blocker.seconds for blocker in parts.monolith.blockers())


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ('ALTER TABLE "Crate" ADD extra int', "Crate.extra is on one side only"),
        ("ALTER TABLE visit ALTER took TYPE text", "visit.took is interval here and text there"),
    ],
)
def test_drift_shuts_a_gate_and_verify(moving: Yard, statement: str, found: str) -> None:
    with moving.service() as connection:
        connection.execute(statement.encode())

    for act in (moving.switch, moving.verify):
        with pytest.raises(RefusedError, match=found):
            act()

    assert [(finding.id, found in finding.message) for finding in moving.doctor()] == [("drift", True)]


def test_a_partition_that_the_move_does_not_know_shuts_a_gate(moving: Yard) -> None:
    for side in ("monolith", "service"):
        with moving.side(side) as connection:
            connection.execute(
                "CREATE TABLE late PARTITION OF reading FOR VALUES FROM ('2090-01-01') TO ('2091-01-01')"
            )

    with pytest.raises(RefusedError, match=r"monolith: public\.late has been made since the move began"):
        moving.switch()

    assert {finding.id for finding in moving.doctor()} == {"standing"}
    assert opened(moving)["monolith"] == (True, 1)


def test_a_move_that_was_never_verified_is_not_switched(ground: Yard) -> None:
    ground.start()

    with pytest.raises(RefusedError, match="gate verify: never verified"):
        ground.switch()


def test_errors_of_a_stream_shut_a_gate_until_the_next_verify(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE VALUES (100, '1 day', 'wrong')")
        with moving.monolith() as here:
            here.execute("INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE VALUES (100, '1 day', 'right')")
        eventually(lambda: _failed(moving, "forward"))
        with pytest.raises(RefusedError, match="gate forward errors"):
            moving.switch(timeout=0.1)

        connection.execute("DELETE FROM visit WHERE id = 100")
    moving.catch_up("monolith")
    # The wrong row and its removal came back to the owner's replica fence: that stream stands still for good.
    with pytest.raises(RefusedError, match="gate reverse"):
        moving.switch(timeout=0.1)


def _failed(made: Yard, direction: str) -> bool:
    with made.working() as parts:
        return {stream.direction: stream.errors for stream in parts.replication.streams()}[direction] > 0
