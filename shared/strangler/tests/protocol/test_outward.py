"""What a capability points to, and what stands around its tables, is looked at before anything is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from servers import eventually
from strangler.application.preflight import Report, preflight
from strangler.domain.errors import PreflightError, RefusedError
from strangler.domain.findings import Finding, Severity
from yard import Yard, footprint

TYPES = """
CREATE TABLE django_content_type (id int PRIMARY KEY, app_label text NOT NULL, model text NOT NULL);
"""
PARENT = "CREATE TABLE IF NOT EXISTS yard_setting (name text PRIMARY KEY);"
POINTING = "ALTER TABLE ticket ADD setting text;"
KEY = "ALTER TABLE ticket ADD CONSTRAINT to_setting FOREIGN KEY (setting) REFERENCES yard_setting"


def run(made: Yard, side: str, *statements: str) -> None:
    with made.side(side) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def looked(made: Yard) -> Report:
    """A preflight, which has changed nothing."""
    before = footprint(made)
    with made.working() as parts:
        report = preflight(parts, tell=lambda _: None)
    assert footprint(made) == before
    return report


def found(made: Yard, id: str) -> list[Finding]:
    return [one for one in looked(made).looked.findings if one.id == id]


def severities(findings: Sequence[Finding]) -> list[str]:
    return [one.severity.value for one in findings]


def test_a_project_that_is_ready_is_told_what_was_looked_at_and_what_it_costs(ground: Yard) -> None:
    report = looked(ground)

    assert report.ready
    assert {one.severity for one in report.looked.findings} <= {Severity.NOTE}
    assert "sequences" in report.looked.at
    assert any("strangler_check" in one for one in report.looked.not_at)
    assert report.looked.estimate is not None
    assert report.looked.estimate.sampled_rows > 0
    assert report.looked.estimate.disk_bytes > 0


def test_rows_that_the_server_has_not_counted_yet_are_estimated(ground: Yard) -> None:
    """A restored database has seen no ANALYZE."""
    many = "INSERT INTO ticket (number, crate) SELECT 100 + n, id FROM generate_series(1, 20000) n, {}"
    first = '(SELECT id FROM "Crate" LIMIT 1) one'
    run(ground, "monolith", "ALTER TABLE ticket SET (autovacuum_enabled = off)", many.format(first))
    with ground.side("monolith") as connection:
        counted = connection.execute("SELECT reltuples FROM pg_class WHERE oid = 'ticket'::regclass").fetchone()
    assert counted == (-1,)

    estimate = looked(ground).looked.estimate

    assert estimate is not None
    assert 15_000 < estimate.rows < 25_000
    assert estimate.sampled_rows > 1_000, "the largest table is the one to sample"


@pytest.mark.parametrize("rows", ["none", "some", "all"])
def test_a_foreign_key_of_the_service_to_what_does_not_come_along(ground: Yard, rows: str) -> None:
    run(ground, "monolith", POINTING, "INSERT INTO yard_setting VALUES ('a'), ('b')")
    run(ground, "monolith", "UPDATE ticket SET setting = CASE WHEN id % 2 = 0 THEN 'a' ELSE 'b' END", KEY)
    run(ground, "service", PARENT, POINTING, KEY)
    if rows != "none":
        run(ground, "service", "INSERT INTO yard_setting VALUES ('a')")
    if rows == "all":
        run(ground, "service", "INSERT INTO yard_setting VALUES ('b')")

    (key,) = found(ground, "foreign-key-out")

    assert "ticket.setting" in key.place
    assert "without a constraint" in key.remedy
    assert "a subscription" in key.remedy
    if rows == "all":
        assert key.severity is Severity.WARNING
        assert "made later" in key.message
        assert ground.start().rows > 0
        return
    assert key.severity is Severity.ERROR
    assert ("it has no rows" if rows == "none" else "1 of 2 keys that were tried are not (b)") in key.message
    with pytest.raises(PreflightError, match="to_setting"):
        ground.start()


def test_a_foreign_key_that_is_made_after_the_start_shuts_a_gate(moving: Yard) -> None:
    run(
        moving,
        "service",
        "CREATE TABLE yard_number (number int PRIMARY KEY)",
        "ALTER TABLE ticket ADD CONSTRAINT to_number FOREIGN KEY (number) REFERENCES yard_number NOT VALID",
    )

    with pytest.raises(RefusedError, match="gate outward: foreign-key-out"):
        moving.switch(timeout=1)

    run(moving, "service", "ALTER TABLE ticket DROP CONSTRAINT to_number")
    moving.switch()


def test_doctor_tells_of_a_foreign_key_that_was_made_after_the_switch(moving: Yard) -> None:
    moving.switch()
    run(
        moving,
        "service",
        "CREATE TABLE yard_number (number int PRIMARY KEY)",
        "ALTER TABLE ticket ADD CONSTRAINT to_number FOREIGN KEY (number) REFERENCES yard_number NOT VALID",
    )

    (finding,) = moving.doctor()

    assert finding.id == "foreign-key-out"
    assert "to_number" in finding.message


def test_a_parent_that_a_subscription_keeps_is_no_finding(ground: Yard) -> None:
    run(ground, "monolith", POINTING, KEY, "INSERT INTO yard_setting VALUES ('a')", "UPDATE ticket SET setting = 'a'")
    run(ground, "monolith", "CREATE PUBLICATION kept FOR TABLE yard_setting")
    run(ground, "service", PARENT, POINTING, KEY)
    dsn = ground.clusters[0].dsn(ground.databases[0])
    run(ground, "service", f"CREATE SUBSCRIPTION kept CONNECTION '{dsn}' PUBLICATION kept")
    try:
        with ground.service() as connection:
            eventually(lambda: connection.execute("SELECT FROM yard_setting").fetchone() is not None)
        assert found(ground, "foreign-key-out") == []

        run(ground, "service", "DELETE FROM yard_setting")  # as if the subscription stood still since
        (key,) = found(ground, "foreign-key-out")
        assert key.severity is Severity.ERROR
        assert "the subscription kept keeps yard_setting there, and has not brought these rows" in key.remedy
    finally:
        run(ground, "service", "DROP SUBSCRIPTION kept")
        run(ground, "monolith", "DROP PUBLICATION kept")


@pytest.mark.parametrize("fed", [True, False])
def test_a_parent_without_rows_on_both_sides_lacks_none(ground: Yard, fed: bool) -> None:
    run(ground, "monolith", POINTING, KEY, "CREATE PUBLICATION kept FOR TABLE yard_setting")
    run(ground, "service", PARENT, POINTING, KEY)
    dsn = ground.clusters[0].dsn(ground.databases[0])
    if fed:
        run(ground, "service", f"CREATE SUBSCRIPTION kept CONNECTION '{dsn}' PUBLICATION kept")
    try:
        keys = found(ground, "foreign-key-out")

        assert severities(keys) == ([] if fed else ["warning"])
        assert fed or "made later" in keys[0].message
    finally:
        run(ground, "service", "DROP SUBSCRIPTION IF EXISTS kept")
        run(ground, "monolith", "DROP PUBLICATION kept")


@pytest.mark.parametrize("by", ["key", "name"])
def test_a_number_that_means_something_else_in_the_service(ground: Yard, by: str) -> None:
    for side in ("monolith", "service"):
        run(ground, side, TYPES, "ALTER TABLE ticket ADD content_type_id int")
    run(ground, "monolith", "INSERT INTO django_content_type VALUES (7, 'shop', 'crate'), (8, 'shop', 'bay')")
    run(ground, "service", "INSERT INTO django_content_type VALUES (7, 'shop', 'bay'), (8, 'shop', 'crate')")
    run(ground, "monolith", "UPDATE ticket SET content_type_id = 7")
    if by == "key":
        run(ground, "monolith", "ALTER TABLE ticket ADD FOREIGN KEY (content_type_id) REFERENCES django_content_type")
    project = replace(ground.project, stays=[*ground.project.stays, "django_*"])
    made = replace(ground, project=project)

    (number,) = found(made, "numbers-differ")

    assert number.severity is (Severity.ERROR if by == "key" else Severity.WARNING)
    assert "7 is shop.crate in the monolith and shop.bay in the service" in number.message
    assert "8 is" not in number.message  # no row has it

    run(ground, "service", "UPDATE django_content_type SET model = CASE id WHEN 7 THEN 'crate' ELSE 'bay' END")
    assert found(made, "numbers-differ") == []


def test_a_number_that_no_row_has_yet_is_a_warning(ground: Yard) -> None:
    for side in ("monolith", "service"):
        run(ground, side, "CREATE TABLE auth_group (id int PRIMARY KEY, name text)", "ALTER TABLE ticket ADD team int")
    run(ground, "monolith", "INSERT INTO auth_group VALUES (1, 'staff')")
    run(ground, "monolith", "ALTER TABLE ticket ADD FOREIGN KEY (team) REFERENCES auth_group")
    made = replace(ground, project=replace(ground.project, stays=[*ground.project.stays, "auth_*"]))

    (number,) = found(made, "numbers-differ")

    assert number.severity is Severity.WARNING
    assert "a row that is made later may" in number.message


WRITING = """
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- audit."Entry" in a comment names nothing
    INSERT INTO yard_setting VALUES (gen_random_uuid()::text);
    RETURN NULL;
END $$;
CREATE TRIGGER keep AFTER INSERT ON visit FOR EACH ROW EXECUTE FUNCTION keep();
"""


@pytest.mark.parametrize("where", ["monolith", "both", "both, with the table"])
def test_a_trigger_that_writes_what_stays(ground: Yard, where: str) -> None:
    run(ground, "monolith", WRITING)
    if where != "monolith":
        run(ground, "service", WRITING)
    if where == "both, with the table":
        run(ground, "service", PARENT)

    (trigger,) = found(ground, "trigger-writes-outside")

    assert "which names yard_setting" in trigger.message
    assert trigger.severity is (Severity.ERROR if where == "both" else Severity.WARNING)
    assert ("does not run" in trigger.message) == (where == "monolith")


def test_what_one_database_has_and_the_other_has_not(ground: Yard) -> None:
    run(ground, "monolith", "CREATE INDEX slow ON visit (took)", "CREATE INDEX same_here ON ticket (crate)")
    run(ground, "service", "CREATE INDEX same_there ON public.ticket USING btree (crate)")
    with ground.monolith() as connection:
        name = ground.databases[0]
        connection.execute(f"ALTER DATABASE {name} SET statement_timeout = '30s'".encode())
    try:
        (index,) = found(ground, "index-differs")
        (setting,) = found(ground, "setting-differs")
    finally:
        with ground.monolith() as connection:
            connection.execute(f"ALTER DATABASE {name} RESET statement_timeout".encode())

    assert "like slow there" in index.message
    assert "statement_timeout is 30s" in setting.message


def test_a_server_that_is_away_is_named_with_what_was_not_looked_at(ground: Yard) -> None:
    nowhere = "postgresql://127.0.0.1:1/depot"
    away = replace(
        ground, endpoints=replace(ground.endpoints, databases={**ground.endpoints.databases, "depot": nowhere})
    )

    with away.working() as parts:
        report = preflight(parts, tell=lambda _: None)

    (error,) = report.looked.errors
    assert (error.id, error.place) == ("unreachable", nowhere)
    assert any("the tables of the service were not found" in one for one in report.looked.not_at)
    assert any("monolith" in one for one in report.looked.at)


def test_all_that_is_wrong_is_told_at_once(ground: Yard) -> None:
    run(ground, "monolith", "ALTER TABLE visit REPLICA IDENTITY NOTHING", "CREATE TABLE stray (id int PRIMARY KEY)")
    run(ground, "service", "ALTER TABLE ticket ADD more int")

    report = looked(ground)

    assert {one.id for one in report.looked.errors} >= {"replica-identity", "table-without-place", "tables-differ"}
    with pytest.raises(PreflightError) as caught:
        ground.start()
    assert {one.id for one in caught.value.findings} == {one.id for one in report.looked.errors}


def test_a_move_that_has_begun_can_be_looked_at(moving: Yard) -> None:
    report = looked(moving)

    assert (report.begun, report.ready) == (True, True)
