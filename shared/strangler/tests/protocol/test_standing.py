"""Fences that somebody has changed by hand are turned right, and this is never silent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import urllib3
from envoys import free_port
from servers import eventually
from strangler.application import gates
from strangler.application.ending import cancel, complete
from strangler.application.status import status
from strangler.domain.errors import RefusedError
from strangler.domain.project import Reference
from test_references import with_references
from yard import FILE, LEAVES, SIDES, WRITE, Yard, execute, patrolled, refused

ENABLED_AGAIN = [f"ALTER TABLE {table} {how} TRIGGER ALL" for how in ("DISABLE", "ENABLE") for table in LEAVES]
DIGEST = """
SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid)), chr(10) ORDER BY 1, 2)
FROM (SELECT * FROM pg_trigger ORDER BY tgrelid::regclass::text, tgname) t WHERE starts_with(tgname, 'strangler_')
"""


def triggers(made: Yard) -> dict[str, str]:
    """Every trigger of the tool, its definition and its letter."""
    found = {}
    for side in SIDES:
        with made.side(side) as connection:
            row = connection.execute(DIGEST).fetchone()
            assert row is not None
            found[side] = row[0]
    return found


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


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
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
    # Nothing that was compared depends on it.
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


def test_a_look_is_cheap(ground: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look needs as few queries for many tables as for few, for serve looks once per second."""
    asked: list[int] = []
    execute = psycopg.Connection.execute

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        asked[-1] += 1
        return execute(self, *arguments, **named)

    for tables in (["Crate", "bays.Bay slot", "ticket"], ground.project.capabilities["crates"].tables):
        made = ground.with_tables(*tables)
        made = replace(made, project=replace(made.project, stays=["*"]))
        made.start()
        with made.working() as parts:
            parts.replication.deviations(completed=False)
            asked.append(0)
            with monkeypatch.context() as patch:
                patch.setattr(psycopg.Connection, "execute", counted)
                parts.replication.deviations(completed=False)
            cancel(parts)
    few, many = asked
    assert 0 < many == few


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
        complete(parts, drop=drop, unused_for=0, unread_for=0)
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
