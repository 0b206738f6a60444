"""Errors in a database are reported before anything is changed in either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from servers import Cluster, Connection, running
from strangler.domain.errors import ConfigurationError, PreflightError, StranglerError
from strangler.domain.project import Database
from yard import Yard, contents, footprint, yard


def refusal(made: Yard, *, kind: type[StranglerError] = PreflightError) -> StranglerError:
    """The error with which a start ends, or the first of several; it has changed nothing."""
    before = footprint(made)
    with pytest.raises(StranglerError) as caught:
        made.start()
    assert footprint(made) == before
    assert caught.value.exit_code == 2
    assert caught.value.place
    assert caught.value.remedy
    assert all(one.id != kind.id for one in caught.value.findings), "a finding without an identifier of its own"
    first = caught.value.findings[0].error
    assert isinstance(first, kind)
    return first


def on_both(made: Yard, *statements: str) -> None:
    for side in ("monolith", "service"):
        with made.side(side) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def test_a_server_without_logical_wal(
    clusters: tuple[Cluster, Cluster], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("plain")
    settings = {"wal_level": "replica", "shared_buffers": "16MB"}
    with running("plain", folder, settings) as plain, yard((plain, clusters[1]), tmp_path) as made:
        error = refusal(made)

    assert "wal_level is replica" in error.message
    assert error.remedy == "set wal_level = logical and restart this server"


@contextmanager
def no_slots_left(connection: Connection) -> Iterator[None]:
    made = [
        connection.execute("SELECT slot_name FROM pg_create_physical_replication_slot(%s)", (f"filler_{n}",)).fetchone()
        for (n,) in connection.execute(
            "SELECT generate_series(1, current_setting('max_replication_slots')::int "
            "- (SELECT count(*) FROM pg_replication_slots)::int)"
        ).fetchall()
    ]
    assert made
    try:
        yield
    finally:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'filler%'"
        )


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_all_slots_in_use(ground: Yard, side: str) -> None:
    with ground.side(side) as connection, no_slots_left(connection):
        error = refusal(ground)

    assert error.message == "max_replication_slots is used up"
    assert "raise max_replication_slots" in error.remedy


def test_a_slot_of_an_interrupted_start_is_no_hindrance(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("UPDATE strangler.move SET state = 'starting'")
        with no_slots_left(connection):
            assert moving.start().rows > 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE yard_loose (id int)", "yard_loose has no primary key"),
        ("CREATE TABLE yard_loose (id int PRIMARY KEY DEFERRABLE)", "yard_loose has no primary key"),
        ("CREATE UNLOGGED TABLE yard_loose (id int PRIMARY KEY)", "yard_loose is unlogged"),
        (
            "CREATE TABLE yard_loose (id int PRIMARY KEY) PARTITION BY LIST (id); "
            "CREATE UNLOGGED TABLE yard_loose_1 PARTITION OF yard_loose DEFAULT",
            "yard_loose_1 is unlogged",
        ),
        (
            "CREATE TABLE yard_loose (a int, b int GENERATED ALWAYS AS (a) STORED PRIMARY KEY)",
            "yard_loose has no primary key",
        ),
        (
            "CREATE TABLE yard_loose (id int PRIMARY KEY); ALTER TABLE yard_loose REPLICA IDENTITY NOTHING",
            "yard_loose has REPLICA IDENTITY NOTHING",
        ),
    ],
)
def test_a_table_that_cannot_be_streamed(ground: Yard, statement: str, message: str) -> None:
    on_both(ground, statement)
    wider = ground.with_tables(*ground.project.capabilities["crates"].tables, "yard_loose")

    error = refusal(wider)

    assert message in error.message
    assert error.place.startswith("postgresql://")


def test_a_copy_that_holds_rows(ground: Yard) -> None:
    with ground.service() as connection:
        connection.execute("INSERT INTO bays.\"Bay slot\" (lane, place) VALUES ('x', 1)")

        error = refusal(ground)

        assert error.message == "bays.Bay slot holds rows already"
        assert len(contents(connection)['bays."Bay slot"']) == 1


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ('ALTER TABLE "Crate" ADD extra int', "Crate.extra is on one side only"),
        (
            'ALTER TABLE "Crate" ALTER weight TYPE numeric(12, 4)',
            "Crate.weight is numeric(12,3) here and numeric(12,4)",
        ),
        ('ALTER TABLE "Crate" ALTER ratio SET NOT NULL', "Crate.ratio is NOT NULL on one side only"),
        ('ALTER TABLE "Crate" ALTER "full ""name"" 100%" DROP EXPRESSION', "is generated on one side only"),
        ("ALTER TABLE visit DROP CONSTRAINT visit_pkey, ADD PRIMARY KEY (code)", "visit has another primary key there"),
        ("ALTER TABLE ticket REPLICA IDENTITY USING INDEX ticket_number", "ticket has another replica identity there"),
        (
            "CREATE TABLE reading_2030 PARTITION OF reading FOR VALUES FROM ('2030-01-01') TO ('2031-01-01')",
            "reading_2030 is on one side only",
        ),
    ],
)
def test_tables_that_are_not_equal(ground: Yard, statement: str, difference: str) -> None:
    with ground.service() as connection:
        connection.execute(statement.encode())

    error = refusal(ground)

    assert difference in error.message
    assert error.remedy == "migrate the side that is behind; nothing has been changed"


def test_a_table_that_one_side_does_not_have(ground: Yard) -> None:
    with ground.service() as connection:
        connection.execute("DROP TABLE ticket")

    error = refusal(ground, kind=ConfigurationError)

    assert error.message == "there is no table ticket in the database depot"


def test_a_name_that_is_spelt_otherwise(ground: Yard) -> None:
    error = refusal(ground.with_tables("crate"), kind=ConfigurationError)

    assert error.place == "strangler.toml: table crate"
    assert error.remedy.endswith("Crate")


def test_a_reference_that_is_not_named(ground: Yard) -> None:
    capability = replace(ground.project.capabilities["crates"], references=[])
    silent = replace(ground, project=replace(ground.project, capabilities={"crates": capability}))

    error = refusal(silent, kind=ConfigurationError)

    assert error.message.endswith("that are not named: audit.Entry.crate")
    assert error.place == "strangler.toml: capabilities.crates.references"


@pytest.mark.parametrize("action", ["ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"])
def test_an_action_from_outside_that_would_write_a_moved_table(ground: Yard, action: str) -> None:
    on_both(ground, "ALTER TABLE ticket ADD setting text")
    with ground.monolith() as connection:
        connection.execute(f"ALTER TABLE ticket ADD FOREIGN KEY (setting) REFERENCES yard_setting {action}".encode())

    error = refusal(ground)

    assert "ticket is written by the database when a row of yard_setting changes or goes" in error.message
    assert action.removesuffix(" NULL").removesuffix(" CASCADE") in error.message


@pytest.mark.parametrize(("database", "asking"), [("yard", 1), ("depot", 0)])
def test_a_server_that_the_other_cannot_reach(ground: Yard, database: str, asking: int) -> None:
    away = Database(name=database, url="unused", replication_url="postgresql://nobody@127.0.0.1:1/nowhere")
    databases = {**ground.project.databases, database: away}

    error = refusal(replace(ground, project=replace(ground.project, databases=databases)))

    assert error.message.startswith("this server cannot reach postgresql://127.0.0.1:1/nowhere")
    assert "replication_url" in error.remedy
    assert error.place.endswith(ground.databases[asking])


def test_a_table_that_nothing_places(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute('CREATE TABLE "Lost" (id int PRIMARY KEY)')
        connection.execute("CREATE SCHEMA pgthings")
        connection.execute("CREATE TABLE pgthings.found (id int PRIMARY KEY)")

    error = refusal(ground, kind=ConfigurationError)

    assert error.message == "nothing says where Lost, pgthings.found belongs"
    assert error.place == "strangler.toml: stays.tables"


PUBLISHED = {  # reasons for which a published table would refuse every UPDATE or DELETE
    "a generated column of a whole identity": (
        "CREATE TABLE yard_made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a) STORED)",
        "ALTER TABLE yard_made REPLICA IDENTITY FULL",
    ),
    "a column that is generated when it is read": (
        "CREATE TABLE yard_made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a) VIRTUAL)",
        "ALTER TABLE yard_made REPLICA IDENTITY FULL",
    ),
    "a generated column of an identity's index": (
        "CREATE TABLE yard_made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a) STORED NOT NULL)",
        "CREATE UNIQUE INDEX yard_made_b ON yard_made (b)",
        "ALTER TABLE yard_made REPLICA IDENTITY USING INDEX yard_made_b",
    ),
    "an identity whose index has gone": (
        "CREATE TABLE yard_made (id int PRIMARY KEY, a int NOT NULL)",
        "CREATE UNIQUE INDEX yard_made_a ON yard_made (a)",
        "ALTER TABLE yard_made REPLICA IDENTITY USING INDEX yard_made_a",
        "DROP INDEX yard_made_a",
    ),
    "a generated column of a partition": (
        "CREATE TABLE yard_made (id int PRIMARY KEY, b int GENERATED ALWAYS AS (id) STORED) PARTITION BY LIST (id)",
        "CREATE TABLE yard_made_1 PARTITION OF yard_made DEFAULT",
        "ALTER TABLE yard_made_1 REPLICA IDENTITY FULL",
    ),
    "a column that the database alone numbers": (
        "CREATE TABLE yard_made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "b int GENERATED ALWAYS AS (1) STORED)",
        "ALTER TABLE yard_made REPLICA IDENTITY FULL",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_table_that_would_refuse_writes_once_it_is_published(ground: Yard, name: str) -> None:
    on_both(ground, *PUBLISHED[name])
    wider = ground.with_tables(*ground.project.capabilities["crates"].tables, "yard_made")

    error = refusal(wider)

    assert "would refuse writes once it is published: cannot" in error.message
    assert "yard_made" in error.message
    assert "REPLICA IDENTITY" in error.remedy


@pytest.mark.parametrize("side", ["monolith", "service"])
def test_either_side_is_tried(ground: Yard, side: str) -> None:
    with ground.side(side) as connection:
        connection.execute('ALTER TABLE "Crate" REPLICA IDENTITY FULL')

    error = refusal(ground)

    assert error.message.startswith("Crate would refuse writes")
    assert error.place.endswith(ground.databases[side == "service"])


def test_a_table_that_another_publication_makes_refuse_writes(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute("CREATE PUBLICATION others FOR TABLE ticket WHERE (number > 0)")
        connection.execute("ALTER TABLE ticket REPLICA IDENTITY DEFAULT")

    assert "ticket would refuse writes once it is published" in refusal(ground).message


def test_a_trial_fires_nothing_and_stops_no_writer(ground: Yard) -> None:
    with ground.monolith() as connection, ground.monolith() as writer:
        connection.execute(
            "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'fired'; END$$; "
            "CREATE TRIGGER never BEFORE UPDATE OR DELETE ON visit FOR EACH STATEMENT EXECUTE FUNCTION never()"
        )
        writer.execute("BEGIN")
        writer.execute("INSERT INTO visit (took) VALUES ('1 day')")
        with ground.working() as parts:
            parts.replication.preflight(begun=False, rerun=False)
        writer.execute("COMMIT")
