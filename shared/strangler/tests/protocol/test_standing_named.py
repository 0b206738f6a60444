"""Changes by hand to tables and streams that cannot be turned right are named, and stop steps."""

from __future__ import annotations

import pytest
from servers import eventually
from strangler.application import gates
from strangler.application.status import status
from strangler.domain.errors import RefusedError
from test_schema import REPLACED
from yard import SIDES, WRITE, Yard, execute, patrolled, refused

FORWARD = "strangler_yard_crates_forward"
REVERSE = "strangler_depot_crates_reverse"


NAMED = [
    (*REPLACED, "strangler.refuse() is not what the tool has installed"),
    (
        "monolith",
        "ALTER TABLE visit RENAME TO visit_old; CREATE TABLE visit (LIKE visit_old INCLUDING ALL)",
        "public.visit is another table than the one that the move began with",
    ),
    (
        "service",
        "ALTER TABLE visit RENAME TO visit_old; CREATE TABLE visit (LIKE visit_old INCLUDING ALL)",
        "public.visit is another table than the one that the move began with",
    ),
    (
        "monolith",
        "CREATE TABLE late PARTITION OF reading FOR VALUES FROM ('2090-01-01') TO ('2091-01-01')",
        "late has been made since the move began",
    ),
    ("service", "ALTER TABLE reading DETACH PARTITION reading_old", "public.reading_old has been detached"),
    (
        "monolith",
        f"ALTER PUBLICATION {FORWARD} DROP TABLE ticket",
        f"the publication {FORWARD} lacks public.ticket",
    ),
    (
        "service",
        f"ALTER PUBLICATION {REVERSE} DROP TABLE strangler.marker",
        f"the publication {REVERSE} lacks strangler.marker",
    ),
    ("monolith", f"ALTER PUBLICATION {FORWARD} ADD TABLE yard_setting", "has public.yard_setting besides"),
    (
        "monolith",
        f"ALTER PUBLICATION {FORWARD} ADD TABLES IN SCHEMA audit",
        "publishes something else",
    ),
    (
        "monolith",
        f"ALTER PUBLICATION {FORWARD} SET (publish = 'insert, update')",
        "publishes something else",
    ),
    (
        "monolith",
        f"ALTER PUBLICATION {FORWARD} DROP TABLE ticket; ALTER PUBLICATION {FORWARD} ADD TABLE ticket WHERE (id < 5)",
        "carries only a part of public.ticket",
    ),
    (
        "monolith",
        f"ALTER PUBLICATION {FORWARD} DROP TABLE visit; ALTER PUBLICATION {FORWARD} ADD TABLE visit (id, code)",
        "carries only a part of public.visit",
    ),
    (
        "monolith",
        f"DROP PUBLICATION {FORWARD}",
        f"the publication {FORWARD} is gone",
    ),
    ("service", f"ALTER SUBSCRIPTION {FORWARD} SET (origin = any)", "takes rows of origin any"),
    (
        "service",
        f"ALTER SUBSCRIPTION {FORWARD} DISABLE",
        f"{FORWARD} is disabled",
    ),
    (
        "service",
        f"ALTER SUBSCRIPTION {FORWARD} DISABLE; ALTER SUBSCRIPTION {FORWARD} SET (slot_name = other)",
        "reads the slot other",
    ),
    (
        "service",
        f"ALTER SUBSCRIPTION {FORWARD} SET PUBLICATION other WITH (refresh = false)",
        "follows other",
    ),
    ("monolith", "ALTER TABLE ticket REPLICA IDENTITY NOTHING", "public.ticket has no replica identity any more"),
    ("service", "ALTER TABLE visit REPLICA IDENTITY NOTHING", "public.visit has no replica identity any more"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("side", "statement", "message"), NAMED)
def test_what_cannot_be_turned_right_is_named_and_stops_every_step(
    moving: Yard, side: str, statement: str, message: str
) -> None:
    execute(moving, side, *statement.split("; "))

    patrolled(moving)

    findings = [finding for finding in moving.doctor() if finding.id == "standing"]
    assert any(message in finding.message and finding.message.startswith(side) for finding in findings), findings
    assert all(finding.hint for finding in findings)
    with moving.working() as parts:
        assert any(message in problem for problem in status(parts).problems)
    with pytest.raises(RefusedError) as caught:
        moving.switch()
    if "refuse" not in message:
        assert message in caught.value.message or "one side only" in caught.value.message
    assert caught.value.remedy
    with moving.monolith() as connection:
        row = connection.execute("SELECT open, epoch FROM strangler.side").fetchone()
    assert row == (True, 1)


@pytest.mark.parametrize("how", ["replica", "'REPLICA'"])
def test_sessions_that_no_fence_stops_are_named(moving: Yard, how: str) -> None:
    with moving.service() as connection:
        connection.execute(f"ALTER DATABASE depot SET session_replication_role = {how}".encode())
        try:
            assert any("sessions of everybody begin with" in finding.message for finding in moving.doctor())
        finally:
            connection.execute("ALTER DATABASE depot RESET session_replication_role")
    assert moving.doctor() == []


def test_a_server_on_which_no_fence_stops_anybody_is_named(moving: Yard) -> None:
    message = "service: all sessions of this server begin with session_replication_role = replica: no fence stops them"
    with moving.service() as connection:
        connection.execute("ALTER SYSTEM SET session_replication_role = 'Replica'")
        try:
            connection.execute("SELECT pg_reload_conf()")
            eventually(lambda: message in {each.message for each in moving.doctor()})
            with pytest.raises(RefusedError, match="gate fences: service: all sessions of this server"):
                moving.switch()
        finally:
            connection.execute("ALTER SYSTEM RESET session_replication_role")
            connection.execute("SELECT pg_reload_conf()")
        eventually(lambda: message not in {each.message for each in moving.doctor()})


def test_a_partition_that_is_dropped_while_nobody_serves_keeps_no_side_from_being_lifted(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("SELECT strangler.close_side('crates', 1, 2)")
        connection.execute("UPDATE strangler.move SET epoch = 2")
        connection.execute("DROP TABLE reading_old")
        execute(moving, "service", "DROP TABLE reading_old")
        with moving.working() as parts:
            assert all(gate.found for gate in gates.measure(parts, parts.ledger.move("crates"), lambda _: None))

        assert patrolled(moving)[0] == "lifted the monolith"

        assert refused(connection, WRITE) is None
    assert moving.doctor() == []


def test_a_table_that_was_dropped_from_a_publication_is_mended_as_the_hint_says(moving: Yard) -> None:
    execute(moving, *NAMED[5][:2])
    with moving.monolith() as connection:
        connection.execute("UPDATE ticket SET number = 77")
    patrolled(moving)
    with pytest.raises(RefusedError, match=r"lacks public\.ticket"):
        moving.verify()
    execute(moving, "monolith", f"ALTER PUBLICATION {FORWARD} ADD TABLE public.ticket")
    assert moving.doctor() == []
    with pytest.raises(RefusedError, match="gate verify: not verified since"):
        moving.switch()

    assert moving.verify(repair=True).repaired > 0

    moving.switch()


def test_a_partition_that_was_dropped_on_both_sides_is_forgotten(moving: Yard) -> None:
    for side in SIDES:
        execute(moving, side, "DROP TABLE reading_old")

    told = patrolled(moving)

    assert [line.split(" in the ")[1] for line in told] == list(SIDES)
    assert moving.doctor() == []
    moving.switch()
    moving.catch_up("service")


def test_a_table_that_is_gone_is_not_forgotten_and_keeps_nothing_else_from_being_turned_right(moving: Yard) -> None:
    execute(moving, "service", "DROP TABLE visit", "ALTER TABLE ticket DISABLE TRIGGER strangler_fence")

    told = patrolled(moving)

    assert [line for line in told if "verify" not in line] == [
        "turned the fences of public.ticket right in the service"
    ]
    assert "service: public.visit is no longer there" in {finding.message for finding in moving.doctor()}
    assert patrolled(moving) == []


def test_a_slot_that_was_made_anew_under_its_name_leaves_the_copy_unproven(moving: Yard) -> None:
    name = FORWARD
    execute(moving, "service", f"ALTER SUBSCRIPTION {name} DISABLE")
    with moving.monolith() as connection:
        idle = f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{name}'"
        eventually(lambda: connection.execute(idle.encode()).fetchone() == (True,))
        connection.execute(f"SELECT pg_drop_replication_slot('{name}')".encode())
        patrolled(moving)
        connection.execute("UPDATE ticket SET number = 78")
        connection.execute(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')".encode())
    execute(moving, "service", f"ALTER SUBSCRIPTION {name} ENABLE")

    with pytest.raises(RefusedError, match=f"not verified since monolith: the slot {name} is gone"):
        moving.switch()

    assert moving.verify(repair=True).repaired > 0
