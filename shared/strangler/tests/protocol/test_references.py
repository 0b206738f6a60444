"""Which deletions are queued for the sweep, by which columns, and who may queue them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import Cluster, Connection
from strangler.adapters.postgres.session.connection import script
from strangler.application import gates
from strangler.application.watch import patrol
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Capability, Reference
from yard import Yard, footprint, grant_all, refused, yard

ROOT = Path(__file__).resolve().parents[4]


def with_references(made: Yard, *named: Reference, others: dict[str, Capability] | None = None) -> Yard:
    """The same project with more references, and more capabilities."""
    crates = made.project.capabilities["crates"]
    crates = replace(crates, references=[*crates.references, *named])
    return replace(made, project=replace(made.project, capabilities={"crates": crates, **(others or {})}))


def keys(made: Yard) -> dict[str, list[str]]:
    with made.monolith() as here:
        row = here.execute("SELECT keys FROM strangler.side WHERE capability = 'crates'").fetchone()
    assert row is not None
    found: dict[str, list[str]] = row[0]
    return found


def queued(connection: Connection) -> list[Any]:
    return connection.execute("SELECT table_name, key, columns FROM strangler.orphan ORDER BY id").fetchall()


def delete_crate(made: Yard) -> Any:
    """Deletes a crate at the service, and waits until that has arrived; returns its id and label."""
    with made.service() as there:
        row = there.execute('SELECT id, "Label" FROM "Crate" WHERE weight = 29.125').fetchone()
        assert row is not None
        there.execute("DELETE FROM ticket WHERE crate = %s", row[:1])
        there.execute('DELETE FROM bays."Bay slot" WHERE crate = %s', row[:1])
        there.execute('DELETE FROM "Crate" WHERE id = %s', row[:1])
    made.catch_up("service")
    return row


def test_every_column_that_something_points_at_is_queued(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute('CREATE TABLE audit.a (label text REFERENCES "Crate" ("Label"))')
        here.execute('CREATE TABLE audit.z (crate uuid REFERENCES "Crate" (id))')
    made = with_references(ground, Reference("audit.a", "label"), Reference("audit.z", "crate"))
    made.move_to_service()

    id, label = delete_crate(made)

    with made.monolith() as here:
        # An older sweep would take a filled key for the only column that is pointed at.
        assert queued(here) == [("Crate", None, {"id": str(id), "Label": label})]


def test_a_key_that_alone_is_pointed_at_is_left_to_an_older_sweep_too(ground: Yard) -> None:
    ground.move_to_service()

    id, _ = delete_crate(ground)

    with ground.monolith() as here:
        assert queued(here) == [("Crate", str(id), {"id": str(id)})]


def test_a_named_reference_without_a_constraint_is_queued_and_told(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute("CREATE TABLE audit.loose (crate uuid, label varchar(9))")
    made = with_references(
        ground, Reference("audit.loose", "crate"), Reference("audit.loose", "label", to="Crate.Label")
    )

    warnings = made.start().warnings

    assert [one for one in warnings if "audit.loose" in one] == [
        "audit.loose.crate → Crate.id: no constraint in the database; swept by what the models say of it",
        "audit.loose.label → Crate.Label: no constraint in the database; swept by what the models say of it",
    ]
    assert keys(made) == {'public."Crate"': ["id", "Label"]}
    with made.working() as parts, made.monolith() as here:
        # A column without a constraint does not keep the table to which it points from being dropped.
        assert parts.replication.seams() == ["audit.Entry.crate"]
        here.execute("DROP TABLE audit.loose")
        assert parts.replication.seams() == ["audit.Entry.crate"]


def test_a_reference_that_may_point_at_any_of_several_tables_is_queued_for_all_of_them(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute("CREATE TABLE audit.loose (thing integer)")
    made = with_references(ground, Reference("audit.loose", "thing"))
    made.start()

    assert keys(made) == {'public."Crate"': ["id"], "public.ticket": ["id"], "public.visit": ["id"]}


def test_a_composite_foreign_key_is_queued_whole_and_named_by_any_of_its_columns(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute("CREATE TABLE audit.n (sensor int, at timestamptz, FOREIGN KEY (sensor, at) REFERENCES reading)")
        here.execute(
            "CREATE TABLE audit.p (sensor int, at timestamptz, FOREIGN KEY (sensor, at) REFERENCES reading_rest)"
        )
    made = with_references(ground, Reference("audit.n", "at"), Reference("audit.p", "sensor"))
    made.start()

    assert keys(made) == {'public."Crate"': ["id"], "public.reading": ["sensor", "at"]}


MISTAKES = [
    (Reference("audit.Entri", "crate"), "there is no table audit.Entri", "did you mean audit.Entry"),
    (Reference("audit.Entry", "crates"), "audit.Entry has no column crates", "did you mean crate?"),
    (Reference("audit.Entry", "id", to="Crate.Labl"), "no table of this capability has the column", "Crate.Label"),
    (Reference("audit.Entry", "crate", to="Crate.Label"), "points at Crate.id in the database", "remove `to`"),
    (Reference("audit.other", "setting"), "points at yard_setting in the database", "by `to`"),
    (Reference("audit.other", "flag"), "says where audit.other.flag points", 'to = "table.column"'),
]


@pytest.mark.parametrize(("reference", "message", "remedy"), MISTAKES, ids=[each[1] for each in MISTAKES])
def test_a_reference_that_cannot_be_is_refused(ground: Yard, reference: Reference, message: str, remedy: str) -> None:
    with ground.monolith() as here:
        here.execute("CREATE TABLE audit.other (flag boolean, setting text REFERENCES yard_setting)")
    made = with_references(ground, reference)
    before = footprint(made)

    with pytest.raises(ConfigurationError, match=message) as caught:
        made.start()

    assert caught.value.place == "strangler.toml: capabilities.crates.references[1]"
    assert remedy in caught.value.remedy
    assert footprint(made) == before


def test_a_table_that_went_away_with_its_own_capability_points_nowhere_any_more(ground: Yard) -> None:
    gone = replace(ground.project.capabilities["crates"], name="labels", tables=["label"], references=[])
    made = with_references(ground, Reference("label", "crate"), others={"labels": gone})

    assert made.start().rows > 0


def test_a_move_that_an_older_version_began_queues_what_constraints_point_at(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute('CREATE TABLE audit.a (label text REFERENCES "Crate" ("Label"))')
    made = with_references(ground, Reference("audit.a", "label"))
    made.move_to_service()
    with made.monolith() as here:
        here.execute("UPDATE strangler.side SET keys = '{}'")
        here.execute(
            'CREATE OR REPLACE TRIGGER strangler_orphan AFTER DELETE ON "Crate" FOR EACH ROW '
            "EXECUTE FUNCTION strangler.queue_orphan('crates', 'id', 'Crate')"
        )
        here.execute('ALTER TABLE "Crate" ENABLE REPLICA TRIGGER strangler_orphan')

    id, label = delete_crate(made)

    with made.monolith() as here:
        assert queued(here) == [("Crate", None, {"id": str(id), "Label": label})]


SINCE = {
    "a key onto a table without a queue": ("CREATE TABLE audit.late (ticket int REFERENCES ticket)", "ticket"),
    "a key of another column": (
        'ALTER TABLE audit."Entry" DROP CONSTRAINT "Entry_crate_fkey"; '
        'ALTER TABLE audit."Entry" ADD label text REFERENCES "Crate" ("Label")',
        "Crate",
    ),
    "a key onto a partitioned table": (
        "CREATE TABLE audit.late (s int, a timestamptz, FOREIGN KEY (s, a) REFERENCES reading)",
        "reading",
    ),
    "a key onto a partition": (
        "CREATE TABLE audit.late (s int, a timestamptz, FOREIGN KEY (s, a) REFERENCES reading_rest)",
        "reading",
    ),
    "a key of a partitioned table": (
        "CREATE TABLE audit.late (ticket int REFERENCES ticket) PARTITION BY LIST (ticket); "
        "CREATE TABLE audit.late_rest PARTITION OF audit.late DEFAULT",
        "ticket",
    ),
    "a key that is not validated": (
        "CREATE TABLE audit.late (ticket int); "
        "ALTER TABLE audit.late ADD FOREIGN KEY (ticket) REFERENCES ticket NOT VALID",
        "ticket",
    ),
}
DELETE = {
    "Crate": """WITH t AS (DELETE FROM ticket), s AS (DELETE FROM bays."Bay slot") DELETE FROM "Crate" """,
    "ticket": "DELETE FROM ticket",
    "reading": "DELETE FROM reading_rest",
}


def gate(made: Yard) -> str:
    """The findings of the gate `fences`."""
    with made.working() as parts:
        move = parts.ledger.move("crates")
        assert move is not None
        return next(each.found for each in gates.measure(parts, move, lambda _: None) if each.name == "fences")


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SINCE)
@pytest.mark.parametrize("owner", ["monolith", "service"])
def test_a_foreign_key_that_was_made_since_the_move_began_is_named_and_queued(
    moving: Yard, name: str, owner: str
) -> None:
    statements, table = SINCE[name]
    if owner == "service":
        moving.switch()
        moving.verify()
    with moving.monolith() as here:
        here.execute(statements.encode())
    assert [finding.id for finding in moving.doctor()] == ["standing"]
    assert re.fullmatch(r"monolith: audit.* points at .* is queued: what refers to a deleted row stays", gate(moving))

    moving.verify()

    assert moving.doctor() == []
    assert gate(moving) == "as they should be"
    if owner == "monolith":
        moving.switch()
    with moving.service() as there:
        there.execute(DELETE[table].encode())
    moving.catch_up("service")
    with moving.monolith() as here:
        assert table in {row[0] for row in queued(here)}
        if table == "Crate":
            assert all(row[1] is None and row[2].keys() == {"id", "Label"} for row in queued(here))


@pytest.mark.parametrize(("column", "target"), [("label", "Crate.Label"), ("ticket", "ticket.id")])
def test_a_reference_that_was_named_since_the_move_began_is_queued(moving: Yard, column: str, target: str) -> None:
    with moving.monolith() as here:
        here.execute("CREATE TABLE audit.late (label text, ticket int)")
    made = with_references(moving, Reference("audit.late", column, to=target))
    assert gate(made).startswith(f"monolith: audit.late.{column} points at {target}, by which no deletion")

    with made.working() as parts:
        patrol(parts, lambda *_: None)

    assert made.doctor() == []
    made.switch()
    id, label = delete_crate(made)
    with made.monolith() as here:
        rows = queued(here)
    if column == "label":
        assert rows == [("Crate", None, {"id": str(id), "Label": label})]
    else:
        assert sorted(row[0] for row in rows) == ["Crate", "ticket"]


def test_a_reference_that_cannot_be_any_more_is_named_and_keeps_no_fence_from_being_turned_right(moving: Yard) -> None:
    made = with_references(moving, Reference("audit.gone", "crate"))
    with made.monolith() as here:
        here.execute("ALTER TABLE visit ENABLE TRIGGER ALL")
        assert refused(here, "DELETE FROM visit") == "SF001"

        with made.working() as parts:
            patrol(parts, lambda *_: None)

        assert refused(here, "DELETE FROM visit") is None
    assert any("there is no table audit.gone" in finding.message for finding in made.doctor())


def test_an_older_version_s_schema_takes_the_new_one_s_rows_and_rights(ground: Yard) -> None:
    old = subprocess.run(
        ["git", "show", "e286b58:shared/strangler/src/strangler/adapters/postgres/side.sql"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if old.returncode:
        pytest.skip("this checkout has no history")
    with ground.monolith() as here:
        here.execute(old.stdout.encode())
        here.execute("CREATE ROLE sweeping")
        try:
            here.execute("GRANT UPDATE, DELETE ON strangler.orphan TO sweeping")
            here.execute("INSERT INTO strangler.orphan (capability, table_name, key) VALUES ('crates', 'Crate', '1')")
            here.execute(script("side").encode())

            here.execute("SET ROLE sweeping")
            # The query of an older sweep, word for word.
            row = here.execute(
                "SELECT id, capability, table_name, key FROM strangler.orphan "
                "WHERE retry_at <= clock_timestamp() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
            ).fetchone()
            assert row is not None
            assert row[1:] == ("crates", "Crate", "1")
            here.execute("UPDATE strangler.orphan SET attempts = attempts + 1, error = 'x', retry_at = now()")
            assert refused(here, "UPDATE strangler.orphan SET table_name = 'ticket'") == "42501"
            here.execute("DELETE FROM strangler.orphan")
            here.execute("INSERT INTO strangler.swept VALUES ('crates', 1)")
            here.execute("RESET ROLE")
            # And an older tool that comes back after it.
            here.execute(old.stdout.encode())
        finally:
            here.execute("RESET ROLE; DROP OWNED BY sweeping; DROP ROLE sweeping")


@pytest.fixture
def clerk(clusters: tuple[Cluster, Cluster]) -> Iterator[str]:
    """A role that owns tables and has no other role."""
    for cluster in clusters:
        with cluster.connect() as connection:
            connection.execute("CREATE ROLE shopkeeper")
    yield "shopkeeper"
    for cluster in clusters:
        with cluster.connect() as connection:
            connection.execute("DROP OWNED BY shopkeeper; DROP ROLE shopkeeper")


def test_the_owner_of_a_partitioned_table_can_still_make_partitions_and_their_rows_are_queued(
    clusters: tuple[Cluster, Cluster], clerk: str, tmp_path: Path
) -> None:
    with yard(clusters, tmp_path, owner=clerk) as ground:
        with ground.monolith() as here:
            here.execute(f"SET ROLE {clerk}")
            here.execute(
                "CREATE TABLE audit.n (sensor int, at timestamptz, FOREIGN KEY (sensor, at) REFERENCES reading)"
            )
        made = with_references(ground, Reference("audit.n", "at"))
        made.start()
        with made.monolith() as here:
            here.execute(f"SET ROLE {clerk}")
            here.execute("ALTER TABLE reading DETACH PARTITION reading_rest")
            here.execute(
                "CREATE TABLE later PARTITION OF reading FOR VALUES FROM ('2030-01-01+00') TO ('2031-01-01+00')"
            )
            here.execute("RESET ROLE")
            here.execute("SET session_replication_role = replica")
            here.execute("INSERT INTO reading VALUES (7, '2030-06-01+00', 1)")
            here.execute("DELETE FROM reading WHERE sensor = 7")

            assert [row[0] for row in queued(here)] == ["reading"]


def test_a_role_that_may_only_connect_queues_nothing_and_sees_no_key(
    moving: Yard, clusters: tuple[Cluster, Cluster], clerk: str
) -> None:
    with moving.monolith() as here:
        here.execute(f"SET ROLE {clerk}")
        here.execute('CREATE TEMP TABLE "Crate" (id uuid)')
        mine = (
            'CREATE TRIGGER t AFTER DELETE ON "Crate" FOR EACH ROW '
            "EXECUTE FUNCTION strangler.queue_orphan('crates', 'id', 'Crate')"
        )
        assert refused(here, mine) == "42501"
        assert refused(here, "SELECT FROM strangler.orphan") == "42501"
        assert refused(here, "SELECT strangler.let_sweep('shopkeeper')") == "42501"
        here.execute("RESET ROLE")
        # A role that may call it for tables of the tool is refused for its own tables.
        here.execute(f"SELECT strangler.let_sweep('{clerk}')".encode())
        here.execute(f"SET ROLE {clerk}")
        here.execute(mine.encode())
        here.execute('INSERT INTO pg_temp."Crate" VALUES (gen_random_uuid())')
        assert refused(here, 'DELETE FROM pg_temp."Crate"') == "SF004"
        here.execute("RESET ROLE; DROP OWNED BY shopkeeper")

        assert queued(here) == []


# What its owner can do if it runs with the tool's rights, whichever role the session has taken.
GREEDY = """
CREATE FUNCTION public.greedy() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE 'GRANT ALL ON strangler.side TO clerk'; EXCEPTION WHEN OTHERS THEN NULL; END;
    RETURN true;
END $$;
"""


def rights(made: Yard, side: str) -> bool:
    """Whether the clerk has got the tool's rights."""
    with made.side(side) as connection:
        row = connection.execute("SELECT has_table_privilege('clerk', 'strangler.side', 'UPDATE')").fetchone()
    assert row is not None
    return bool(row[0])


def test_a_cast_of_the_tables_owner_does_not_run_with_the_rights_of_the_queue(owned: Yard) -> None:
    grant_all(owned)
    owned.move_to_service()
    with owned.monolith() as here:
        here.execute("SET ROLE clerk")
        here.execute(GREEDY.encode())
        for kind, value in (("json", "'1'"), ("text", "'x'")):
            here.execute(
                f"CREATE FUNCTION public.as_{kind}(colour) RETURNS {kind} LANGUAGE plpgsql AS "
                f"$$ BEGIN PERFORM public.greedy(); RETURN {value}; END $$; "
                f"CREATE CAST (colour AS {kind}) WITH FUNCTION public.as_{kind}(colour) AS IMPLICIT".encode()
            )
        here.execute("RESET ROLE")
        here.execute("""UPDATE strangler.side SET keys = '{"public.\\"Crate\\"": ["id", "colour", "gone", "ratio"]}'""")

    id, _ = delete_crate(owned)

    with owned.monolith() as here:
        assert queued(here) == [("Crate", None, {"id": str(id), "colour": "green", "ratio": None})]
    assert not rights(owned, "monolith")


def test_what_is_queued_is_written_as_every_session_reads_it(ground: Yard) -> None:
    with ground.monolith() as here:
        here.execute("CREATE TABLE audit.n (sensor int, at timestamptz, FOREIGN KEY (sensor, at) REFERENCES reading)")
        here.execute("ALTER DATABASE yard SET datestyle = 'SQL, DMY'")
    try:
        made = with_references(ground, Reference("audit.n", "at"))
        made.move_to_service()
        with made.service() as there:
            there.execute("DELETE FROM reading WHERE at = 'infinity' OR sensor = 1 AND at < '2023-08-01'")
        made.catch_up("service")
        with made.monolith() as here:
            assert [row[2] for row in queued(here)] == [
                {"sensor": "1", "at": "2023-06-21 00:00:00.000001+00"},
                {"sensor": "9", "at": "infinity"},
            ]
    finally:
        with ground.monolith() as here:
            here.execute("ALTER DATABASE yard RESET datestyle")
