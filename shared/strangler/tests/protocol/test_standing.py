"""What somebody has done by hand to fences and streams is turned right, or named; never silent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import urllib3
from envoys import free_port
from servers import eventually
from strangler.adapters.postgres import installed
from strangler.application import gates
from strangler.application.ending import cancel, complete
from strangler.application.status import status
from strangler.application.watch import patrol
from strangler.domain.errors import RefusedError
from strangler.domain.project import Reference
from test_references import with_references
from yard import FILE, LEAVES, Yard, refused

SIDES = ("monolith", "service")
FORWARD = "strangler_yard_crates_forward"
REVERSE = "strangler_depot_crates_reverse"
WRITE = "INSERT INTO visit (took) VALUES ('1 day')"
ENABLED_AGAIN = [f"ALTER TABLE {table} {how} TRIGGER ALL" for how in ("DISABLE", "ENABLE") for table in LEAVES]
DIGEST = """
SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid)), chr(10) ORDER BY 1, 2)
FROM (SELECT * FROM pg_trigger ORDER BY tgrelid::regclass::text, tgname) t WHERE starts_with(tgname, 'strangler_')
"""
COMMENT = "SELECT obj_description('strangler'::regnamespace, 'pg_namespace')"


def execute(made: Yard, side: str, *statements: str) -> None:
    with made.side(side) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def triggers(made: Yard) -> dict[str, str]:
    """Every trigger of the tool, its definition and its letter."""
    found = {}
    for side in SIDES:
        with made.side(side) as connection:
            row = connection.execute(DIGEST).fetchone()
            assert row is not None
            found[side] = row[0]
    return found


def patrolled(made: Yard) -> list[str]:
    """What one round of `strangler serve` does."""
    told: list[str] = []
    with made.working() as parts:
        patrol(parts, lambda _, what: told.append(what))
    return told


def owned_by(made: Yard, owner: str) -> Yard:
    if owner == "service":
        made.switch()
        made.verify()
    return made


def peer(side: str) -> str:
    return "service" if side == "monolith" else "monolith"


def test_a_move_at_rest_is_as_it_should_be(moving: Yard) -> None:
    for verb in ("switch", "reverse"):
        assert moving.doctor() == []
        assert patrolled(moving) == []
        moving.switch(verb)
    assert moving.doctor() == []


@pytest.mark.parametrize("owner", SIDES)
def test_triggers_of_the_owner_that_were_all_disabled_and_enabled_again(moving: Yard, owner: str) -> None:
    made, before = owned_by(moving, owner), triggers(moving)
    execute(made, owner, *ENABLED_AGAIN, "ALTER TABLE reading ENABLE TRIGGER ALL")
    with made.side(owner) as connection:
        assert refused(connection, WRITE) == "SF001"
        assert {finding.id for finding in made.doctor()} == {"standing"}

        told = patrolled(made)

        assert refused(connection, WRITE) is None
    assert [line for line in told if line.startswith("turned the fences of") and owner in line] == told
    assert triggers(made) == before
    assert made.doctor() == []
    made.switch("reverse" if owner == "service" else "switch")


WRONG = [
    "ALTER TABLE visit DISABLE TRIGGER USER",
    "ALTER TABLE visit DISABLE TRIGGER ALL; ALTER TABLE visit ENABLE TRIGGER ALL",
    "ALTER TABLE visit DISABLE TRIGGER strangler_fence",
    "ALTER TABLE visit ENABLE ALWAYS TRIGGER strangler_fence",
    "ALTER TABLE visit ENABLE REPLICA TRIGGER strangler_fence",
    "ALTER TABLE visit DISABLE TRIGGER strangler_truncate",
    "ALTER TABLE visit ENABLE REPLICA TRIGGER strangler_replica_fence",
    "ALTER TABLE reading DISABLE TRIGGER strangler_fence",
    'ALTER TABLE bays."reading 2024" DISABLE TRIGGER strangler_fence',
    "DROP TRIGGER strangler_fence ON visit",
    'DROP TRIGGER strangler_replica_fence ON "Crate"',
    "DROP TRIGGER strangler_truncate ON visit",
    "CREATE OR REPLACE TRIGGER strangler_fence BEFORE INSERT ON visit "
    "FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse('crates', 'write')",
    "CREATE OR REPLACE TRIGGER strangler_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON visit "
    "FOR EACH STATEMENT WHEN (current_user = 'nobody') EXECUTE FUNCTION strangler.refuse('crates', 'write')",
    "CREATE OR REPLACE TRIGGER strangler_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON visit "
    "FOR EACH STATEMENT EXECUTE FUNCTION strangler.refuse('other', 'write')",
    "CREATE OR REPLACE TRIGGER strangler_fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON visit "
    "FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()",
]


@pytest.mark.parametrize("statement", WRONG)
@pytest.mark.parametrize("owner", SIDES)
def test_a_fence_of_the_copy_that_was_changed_is_turned_right_and_the_proof_forgotten(
    moving: Yard, owner: str, statement: str
) -> None:
    made, before = owned_by(moving, owner), triggers(moving)
    verb = "reverse" if owner == "service" else "switch"
    execute(made, peer(owner), statement)
    assert "standing" in {finding.id for finding in made.doctor()}

    with pytest.raises(RefusedError, match="gate verify: not verified since"):
        made.switch(verb)

    assert triggers(made) == before
    with made.side(peer(owner)) as connection:
        assert refused(connection, WRITE) == "SF001"
    assert made.doctor() == []
    made.verify()
    made.switch(verb)


@pytest.mark.parametrize(
    "statement", [each for each in WRONG if "suppress" not in each and "TRIGGER strangler_truncate" not in each]
)
def test_a_fence_of_the_owner_that_was_changed_is_turned_right_and_the_proof_holds(
    moving: Yard, statement: str
) -> None:
    before = triggers(moving)
    execute(moving, "monolith", statement)

    patrolled(moving)

    assert triggers(moving) == before
    moving.switch()


REFUSE = "EXECUTE FUNCTION strangler.refuse('crates', 'write')"


@pytest.mark.parametrize("owner", SIDES)
def test_a_fence_that_was_renamed_refuses_nothing_once_its_side_is_open(moving: Yard, owner: str) -> None:
    made, before = owned_by(moving, owner), triggers(moving)
    copy = peer(owner)
    execute(made, copy, "ALTER TRIGGER strangler_fence ON visit RENAME TO keep_out")
    assert any("keep_out is one more" in each.message for each in made.doctor())

    patrolled(made)
    assert made.doctor() == []
    assert triggers(made) == before
    made.verify()
    made.switch("reverse" if owner == "service" else "switch")

    with made.side(copy) as connection:
        assert refused(connection, WRITE) is None
        # As a restore does.
        connection.execute("ALTER TABLE visit ENABLE TRIGGER keep_out")
        assert any("keep_out is one more" in each.message for each in made.doctor())
        patrolled(made)
        assert refused(connection, WRITE) is None
    assert made.doctor() == []


def test_fences_that_somebody_has_made_besides_refuse_nothing_and_go_with_the_move(moving: Yard) -> None:
    execute(moving, "monolith", f"CREATE TRIGGER mine BEFORE INSERT ON visit FOR EACH STATEMENT {REFUSE}")
    execute(moving, "monolith", f"CREATE TRIGGER mine BEFORE INSERT ON reading FOR EACH ROW {REFUSE}")
    execute(moving, "monolith", 'ALTER TRIGGER strangler_orphan ON "Crate" RENAME TO mine')
    with moving.monolith() as connection:
        assert refused(connection, WRITE) == "SF001"
        assert any("mine is one more, and fires for local writes" in each.message for each in moving.doctor())

        patrolled(moving)

        assert refused(connection, WRITE) is None
        assert refused(connection, "INSERT INTO reading (sensor, at, value) VALUES (1, now(), 0)") is None
        assert moving.doctor() == []
        with moving.working() as parts:
            cancel(parts)
        assert connection.execute("SELECT 1 FROM pg_trigger WHERE tgname = 'mine'").fetchall() == []


def test_a_fence_on_a_table_that_does_not_move_is_named(moving: Yard) -> None:
    execute(moving, "monolith", f"CREATE TRIGGER mine BEFORE INSERT ON yard_setting FOR EACH STATEMENT {REFUSE}")

    assert [(each.message, each.hint) for each in moving.doctor()] == [
        (
            "monolith: public.yard_setting is none of its tables, and has its fences: mine",
            "DROP TRIGGER mine ON public.yard_setting",
        )
    ]
    ledger_is_lost = "DELETE FROM strangler.move"
    execute(moving, "monolith", ledger_is_lost)
    assert ("yard", "trigger mine on yard_setting") in {(each.place, each.message) for each in moving.doctor()}


def test_a_queue_of_deletions_that_was_enabled_like_any_trigger(moving: Yard) -> None:
    before = triggers(moving)
    execute(moving, "monolith", 'ALTER TABLE "Crate" ENABLE TRIGGER ALL')

    assert len(patrolled(moving)) == 1

    assert triggers(moving) == before


UNQUEUED = [
    'DROP TRIGGER strangler_orphan ON "Crate"',
    'ALTER TABLE "Crate" DISABLE TRIGGER strangler_orphan',
    'ALTER TABLE "Crate" ENABLE ALWAYS TRIGGER strangler_orphan',
    'CREATE OR REPLACE TRIGGER strangler_orphan AFTER DELETE ON "Crate" FOR EACH ROW '
    "EXECUTE FUNCTION strangler.queue_orphan('other', 'id', 'Crate')",
    'CREATE OR REPLACE TRIGGER strangler_orphan AFTER DELETE ON "Crate" FOR EACH ROW WHEN (OLD.weight > 1) '
    "EXECUTE FUNCTION strangler.queue_orphan('crates', 'id', 'Crate')",
    'CREATE OR REPLACE TRIGGER strangler_orphan AFTER DELETE ON "Crate" FOR EACH ROW '
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    'CREATE OR REPLACE TRIGGER strangler_orphan AFTER INSERT ON "Crate" FOR EACH ROW '
    "EXECUTE FUNCTION strangler.queue_orphan('crates', 'id', 'Crate')",
    "DROP TRIGGER strangler_orphan ON ticket",
    "DROP TRIGGER strangler_orphan ON reading",
    "ALTER TABLE reading DISABLE TRIGGER strangler_orphan",
    "ALTER TABLE reading_rest DISABLE TRIGGER strangler_orphan",
]


@pytest.mark.parametrize("statement", UNQUEUED)
def test_the_queue_of_one_of_several_tables_that_was_changed_is_turned_right(ground: Yard, statement: str) -> None:
    execute(
        ground,
        "monolith",
        "CREATE TABLE audit.t (ticket int REFERENCES ticket)",
        "CREATE TABLE audit.r (sensor int, at timestamptz, FOREIGN KEY (sensor, at) REFERENCES reading)",
    )
    made = with_references(ground, Reference("audit.t", "ticket"), Reference("audit.r", "at"))
    made.start()
    made.verify()
    before = triggers(made)
    execute(made, "monolith", statement)
    assert "standing" in {finding.id for finding in made.doctor()}
    with made.working() as parts:
        shut = [each for each in gates.measure(parts, parts.ledger.move("crates"), lambda _: None) if not each.open]
    assert "are not queued as they should be: strangler_orphan" in next(
        each.found for each in shut if each.name == "fences"
    )

    assert len(patrolled(made)) == 1

    assert triggers(made) == before
    assert "standing" not in {finding.id for finding in made.doctor()}
    # Nothing of what was compared depends on it.
    made.switch()


def test_writes_into_an_open_copy_are_found_by_the_verify_that_is_asked_for(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute('ALTER TABLE "Crate" DISABLE TRIGGER ALL')
        connection.execute('UPDATE "Crate" SET weight = 0')
        connection.execute('ALTER TABLE "Crate" ENABLE TRIGGER ALL')

    told = patrolled(moving)

    assert told[0].startswith('the last verify no longer counts: service: fences of public."Crate"')
    with moving.working() as parts:
        assert status(parts).phase != "verified"
        assert status(parts).verified == {}
    with pytest.raises(RefusedError, match="gate verify: not verified since"):
        moving.switch()
    assert moving.verify(repair=True).differing == 0


def test_a_patrol_does_not_wait_for_a_table_that_is_held(moving: Yard) -> None:
    before = triggers(moving)
    execute(moving, "monolith", "ALTER TABLE visit ENABLE TRIGGER ALL")
    with moving.monolith() as holder:
        holder.autocommit = False
        holder.execute("LOCK TABLE visit IN ROW EXCLUSIVE MODE")
        began = time.monotonic()
        assert patrolled(moving) == []
        assert time.monotonic() - began < 10
        holder.rollback()

    assert len(patrolled(moving)) == 1
    assert triggers(moving) == before


NAMED = [
    (
        "service",
        "CREATE OR REPLACE FUNCTION strangler.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL;END'",
        "strangler.refuse() is not what the tool has installed",
    ),
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


def test_a_function_that_was_replaced_is_put_back_by_verify(moving: Yard) -> None:
    execute(moving, *NAMED[0][:2])
    patrolled(moving)

    assert moving.verify().differing == 0

    assert moving.doctor() == []
    with moving.service() as connection:
        assert refused(connection, WRITE) == "SF001"
    moving.switch()


CHANGED = [
    "ALTER FUNCTION strangler.refuse() SET search_path = public",
    "ALTER FUNCTION strangler.refuse() RESET client_min_messages",
    "ALTER FUNCTION strangler.queue_orphan() SECURITY INVOKER",
    "ALTER FUNCTION strangler.close_side(text, bigint, bigint) STRICT",
    "ALTER FUNCTION strangler.reached(regclass) STABLE",
    "CREATE OR REPLACE FUNCTION strangler.open_side(which text, target bigint) RETURNS void LANGUAGE sql "
    "SET search_path = pg_catalog, pg_temp AS ''",
]


@pytest.mark.parametrize("statement", CHANGED)
def test_whatever_decides_what_a_function_does_is_compared_and_put_back(moving: Yard, statement: str) -> None:
    execute(moving, "service", statement)

    assert moving.doctor() != []
    assert all("what the tool has installed" in each.message for each in moving.doctor())
    with pytest.raises(RefusedError, match="gate verify"):
        moving.switch()
    moving.verify()
    assert moving.doctor() == []


GIVEN = [
    ("GRANT UPDATE ON strangler.side TO PUBLIC", "PUBLIC has the right UPDATE ON strangler.side"),
    ("GRANT UPDATE (open) ON strangler.side TO visitor", "visitor has the right UPDATE (open) ON strangler.side"),
    ("GRANT SELECT ON strangler.orphan TO PUBLIC", "PUBLIC has the right SELECT ON strangler.orphan"),
    ("GRANT DELETE ON strangler.orphan TO visitor", "visitor has the right DELETE ON strangler.orphan"),
    ("GRANT INSERT ON strangler.marker TO visitor", "visitor has the right INSERT ON strangler.marker"),
    (
        "GRANT EXECUTE ON FUNCTION strangler.lift_side(text, bigint) TO PUBLIC",
        "PUBLIC has the right EXECUTE ON FUNCTION strangler.lift_side(text,bigint)",
    ),
    ("ALTER TABLE strangler.side DISABLE TRIGGER strangler_tell", "strangler.side does not tell who waits"),
    ("ALTER TABLE strangler.side ENABLE REPLICA TRIGGER strangler_tell", "strangler.side does not tell who waits"),
    (
        "CREATE TRIGGER more BEFORE UPDATE ON strangler.side FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "strangler.side has the trigger more besides",
    ),
    ("CREATE RULE more AS ON INSERT TO strangler.marker DO INSTEAD NOTHING", "strangler.marker has the rule more"),
    ("ALTER TABLE strangler.side ENABLE ROW LEVEL SECURITY", "row-level security is on for strangler.side"),
]


def test_what_was_given_or_made_in_the_schema_is_named_with_what_takes_it_back(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("CREATE ROLE visitor; GRANT SELECT ON strangler.move TO visitor")
        try:
            assert moving.doctor() == []
            for statement, _ in GIVEN:
                connection.execute(statement.encode())
            found = moving.doctor()
            for _, message in GIVEN:
                who, has, what = message.partition(" has the right ")
                begins = f"monolith: {who}{has}"
                assert any(each.message.startswith(begins) and what in each.message for each in found), message
            assert len([each for each in found if " has the right " in each.message]) == len(["PUBLIC", "visitor"])
            with pytest.raises(RefusedError, match="gate fences: "):
                moving.switch()

            for each in found:
                connection.execute(each.hint.partition(", or ")[0].encode())

            assert moving.doctor() == []
            moving.switch()
        finally:
            connection.execute("DROP OWNED BY visitor; DROP ROLE visitor")


@pytest.fixture
def visitor(ground: Yard) -> Iterator[str]:
    """A role to which somebody gives rights."""
    with ground.monolith() as connection:
        connection.execute("CREATE ROLE visitor")
    with ground.service() as connection:
        connection.execute("CREATE ROLE visitor")
    yield "visitor"
    for side in SIDES:
        with ground.side(side) as connection:
            connection.execute("DROP OWNED BY visitor; DROP ROLE visitor")


GENEROUS = [
    "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES",
    "GRANT ALL ON SEQUENCES",
    "GRANT EXECUTE ON FUNCTIONS",
    "GRANT ALL ON SCHEMAS",
]


def test_what_default_privileges_give_away_is_taken_back_when_the_schema_is_made(ground: Yard, visitor: str) -> None:
    for side in SIDES:
        execute(ground, side, *(f"ALTER DEFAULT PRIVILEGES {each} TO {visitor}" for each in GENEROUS))

    ground.start()

    assert ground.doctor() == []
    ground.verify()
    ground.switch()


def test_what_an_older_version_has_let_default_privileges_give_stops_no_move(moving: Yard, visitor: str) -> None:
    for side in SIDES:
        with moving.side(side) as connection:
            noted = installed.read(connection.execute(COMMENT).fetchone()[0])  # type: ignore[index]
            noted.pop("given", None)
            older = " ".join(f"{name}={value}" for name, value in noted.items())
            connection.execute(f"COMMENT ON SCHEMA strangler IS '{older}'".encode())
            connection.execute(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA strangler TO {visitor};"
                f"GRANT UPDATE (open) ON strangler.side TO {visitor} WITH GRANT OPTION;"
                f"GRANT ALL ON ALL SEQUENCES IN SCHEMA strangler TO {visitor}".encode()
            )

    moving.switch()

    assert moving.doctor() == []
    for side in SIDES:
        with moving.side(side) as connection:
            held = "SELECT has_table_privilege('visitor', 'strangler.move', 'SELECT')"
            assert side == "service" or connection.execute(held).fetchone() == (True,)


def test_rights_on_all_of_the_schema_are_one_sentence_and_its_statements_take_them_back(
    moving: Yard, visitor: str
) -> None:
    execute(
        moving,
        "monolith",
        f"GRANT ALL ON ALL TABLES IN SCHEMA strangler TO {visitor}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA strangler TO {visitor} WITH GRANT OPTION",
    )

    (found,) = moving.doctor()

    assert found.message.startswith("monolith: visitor has the right ")
    execute(moving, "monolith", found.hint)
    assert moving.doctor() == []
    moving.switch()


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
    moving.settle("service")


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


def test_a_look_is_cheap(moving: Yard) -> None:
    with moving.working() as parts:
        parts.replication.deviations(completed=False)
        began = time.perf_counter()
        for _ in range(20):
            parts.replication.deviations(completed=False)
    assert (time.perf_counter() - began) / 20 < 0.1


def test_every_function_of_a_side_is_known_by_name(moving: Yard) -> None:
    with moving.service() as connection:
        assert installed.replaced(connection) == []
        rows = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'strangler'::regnamespace"
        ).fetchall()
        noted = installed.notes(connection)
    assert {name.partition("(")[0] for name in noted} == {f"strangler.{row[0]}" for row in rows}


def test_an_owner_is_relieved_while_a_long_verb_holds_the_move(moving: Yard) -> None:
    before = triggers(moving)
    with moving.working() as parts, parts.ledger.coordinating("crates"), moving.monolith() as connection:
        execute(moving, "monolith", *ENABLED_AGAIN)
        assert refused(connection, WRITE) == "SF001"

        assert len(patrolled(moving)) == len(LEAVES)

        assert refused(connection, WRITE) is None
    patrolled(moving)
    assert triggers(moving) == before
    moving.switch()


def test_an_owner_is_relieved_while_its_first_copy_is_being_made(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("UPDATE strangler.move SET state = 'starting'")
        execute(moving, "monolith", *ENABLED_AGAIN)
        assert {finding.id for finding in moving.doctor()} == {"standing"}

        patrolled(moving)

        assert refused(connection, WRITE) is None
    moving.start()


@pytest.mark.parametrize("drop", [False, True])
def test_an_owner_is_relieved_after_the_end(moving: Yard, drop: bool) -> None:
    moving.switch()
    if drop:
        execute(moving, "monolith", 'ALTER TABLE audit."Entry" DROP CONSTRAINT "Entry_crate_fkey"')
    with moving.working() as parts:
        complete(parts, drop=drop, unused_for=0)
    with moving.service() as connection:
        execute(
            moving,
            "service",
            *ENABLED_AGAIN,
            "CREATE TABLE made PARTITION OF reading FOR VALUES FROM ('2090-01-01') TO ('2091-01-01')",
        )
        assert refused(connection, WRITE) == "SF001"
        assert "standing" in {finding.id for finding in moving.doctor()}

        patrolled(moving)

        assert refused(connection, WRITE) is None
        assert refused(connection, "TRUNCATE visit") == (None if drop else "SF003")
    if drop:
        assert "standing" not in {finding.id for finding in moving.doctor()}
    assert patrolled(moving) == []


@contextmanager
def served(made: Yard) -> Iterator[int]:
    """A process of `strangler serve` beside the project; the port of its metrics."""
    text = FILE + '\n[gateway]\naddress = "http://gateway"\n'
    for database, name in (("yard", "yard"), ("depot", "depot")):
        dsn = made.endpoints.databases[database]
        text = text.replace(f'url = "postgresql:///{name}"', f'url = "{dsn}"\nreplication_url = "{dsn}"')
    file = made.project.path.with_name("served.toml")
    file.write_text(text)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "strangler.cli.main", "serve", "--no-agent"],
        env={**os.environ, "STRANGLER_CONFIG": str(file), "METRICS_PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield port
    finally:
        process.kill()
        print(process.communicate()[1])


def deviations(port: int) -> str:
    try:
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False).data.decode()
    except urllib3.exceptions.HTTPError:
        return ""
    return next((line.split()[-1] for line in answer.splitlines() if line.startswith("strangler_deviations{")), "")


def test_under_serve_an_owner_whose_triggers_were_all_enabled_takes_writes_again_within_seconds(moving: Yard) -> None:
    with served(moving) as port, moving.monolith() as connection:
        eventually(lambda: deviations(port) == "0.0")
        for statement in ENABLED_AGAIN:
            connection.execute(statement.encode())

        began = time.monotonic()
        eventually(lambda: refused(connection, WRITE) is None)
        assert time.monotonic() - began < 10

        connection.execute("ALTER TABLE visit REPLICA IDENTITY NOTHING")
        eventually(lambda: deviations(port) == "1.0")
        connection.execute("ALTER TABLE visit REPLICA IDENTITY DEFAULT")
        eventually(lambda: deviations(port) == "0.0")
    moving.switch()
