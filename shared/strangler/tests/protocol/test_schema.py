"""Changes by hand in the schema ``strangler`` itself: in its functions, rights, rules and triggers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from strangler.adapters.postgres.schema import installed
from strangler.domain.errors import RefusedError
from yard import SIDES, WRITE, Yard, execute, patrolled, refused

REPLACED = (
    "service",
    "CREATE OR REPLACE FUNCTION strangler.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL;END'",
)
COMMENT = "SELECT obj_description('strangler'::regnamespace, 'pg_namespace')"


def test_a_function_that_was_replaced_is_put_back_by_verify(moving: Yard) -> None:
    execute(moving, *REPLACED)
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


def test_every_function_of_a_side_is_known_by_name(moving: Yard) -> None:
    with moving.service() as connection:
        assert installed.replaced(connection) == []
        rows = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'strangler'::regnamespace"
        ).fetchall()
        noted = installed.notes(connection)
    assert {name.partition("(")[0] for name in noted} == {f"strangler.{row[0]}" for row in rows}
