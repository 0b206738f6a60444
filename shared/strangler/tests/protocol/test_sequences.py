"""No number is given out twice, and no sequence that a switch needs is missed: each is named or found, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from servers import Connection
from strangler.domain.errors import ConfigurationError, MoveError, PreflightError, RefusedError, StranglerError
from strangler.ports.side import StaleError
from yard import Yard

SIDES = ("monolith", "service")
STAMPED = """
CREATE SEQUENCE audit_numbers START 500;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.code := 'S' || nextval('audit_numbers'); RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION stamp();
"""


def execute(made: Yard, statements: str, sides: tuple[str, ...] = SIDES) -> None:
    for side in sides:
        with made.side(side) as connection:
            connection.execute(statements.encode())


def with_sequences(made: Yard, *names: str, staying: tuple[str, ...] = ()) -> Yard:
    capability = replace(made.project.capabilities["crates"], sequences=list(names))
    project = replace(made.project, capabilities={"crates": capability}, staying_sequences=list(staying))
    return replace(made, project=project)


def value(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def refusal(made: Yard, kind: type[StranglerError] = PreflightError) -> StranglerError:
    with pytest.raises(kind) as caught:
        made.start()
    assert caught.value.exit_code == 2
    assert caught.value.place
    assert caught.value.remedy
    with made.monolith() as connection:
        assert value(connection, "SELECT to_regclass('strangler.side') IS NULL")
    return caught.value


def moved(made: Yard) -> Yard:
    made.move_to_service()
    return made


def test_a_sequence_that_a_trigger_asks_is_asked_for_and_then_moves_both_ways(ground: Yard) -> None:
    execute(ground, STAMPED)
    error = refusal(ground, ConfigurationError)
    assert "audit_numbers (named in public.stamp)" in error.message
    assert error.place == "strangler.toml: stays.sequences"

    made = moved(with_sequences(ground, "audit_numbers"))
    with made.service() as connection:
        assert value(connection, "INSERT INTO visit (took) VALUES ('1 day') RETURNING code") == "S500"
        assert value(connection, "SELECT nextval('audit_numbers')") == 501
    made.verify()
    made.switch("reverse")
    with made.monolith() as connection:
        assert value(connection, "INSERT INTO visit (took) VALUES ('1 day') RETURNING code") == "S502"


def test_a_sequence_that_only_the_application_asks(ground: Yard) -> None:
    execute(ground, 'CREATE SCHEMA desk; CREATE SEQUENCE desk."Invoice no"')
    with ground.monolith() as connection:
        assert value(connection, "SELECT nextval('desk.\"Invoice no\"'), setval('desk.\"Invoice no\"', 41)") == 1
    assert "desk.Invoice no" in refusal(ground, ConfigurationError).message

    made = moved(with_sequences(ground, "desk.Invoice no"))

    with made.service() as connection:
        assert value(connection, "SELECT nextval('desk.\"Invoice no\"')") == 42


def test_a_sequence_that_stays_is_listed(ground: Yard) -> None:
    execute(ground, "CREATE SEQUENCE old_numbers", ("monolith",))

    assert moved(with_sequences(ground, staying=("old_*",))).doctor() == []


def test_a_sequence_that_was_made_since_shuts_a_gate_and_is_found(moving: Yard) -> None:
    execute(moving, "CREATE SEQUENCE late_numbers START 7")

    with pytest.raises(RefusedError, match="gate sequences: nothing says where late_numbers belongs"):
        moving.switch()
    assert [(finding.id, finding.place) for finding in moving.doctor()] == [("unplaced", "sequence late_numbers")]

    with moving.monolith() as connection:
        connection.execute("SELECT nextval('late_numbers')")
    named = with_sequences(moving, "late_numbers")
    named.switch()
    with named.service() as connection:
        assert value(connection, "SELECT nextval('late_numbers')") == 8


def test_a_named_sequence_that_one_side_lacks(ground: Yard) -> None:
    execute(ground, "CREATE SEQUENCE late_numbers", ("monolith",))

    error = refusal(with_sequences(ground, "late_numbers"), ConfigurationError)

    assert error.message == "there is no sequence late_numbers in the database depot"


SHARED = {
    "default of a table that stays": (
        "ALTER TABLE yard_setting ADD number bigint DEFAULT nextval('ticket_id_seq')",
        "ticket_id_seq also numbers public.yard_setting.number",
    ),
    "owned by a table that stays": (
        "CREATE SEQUENCE common OWNED BY yard_setting.name; ALTER TABLE ticket ALTER id SET DEFAULT nextval('common')",
        "common also numbers public.yard_setting.name",
    ),
    "wrapped in an expression": (
        "ALTER TABLE yard_setting ALTER name SET DEFAULT 'N' || nextval('visit_codes')",
        "visit_codes also numbers public.yard_setting.name",
    ),
}


ASKING = "CREATE FUNCTION asks() RETURNS {} LANGUAGE {} AS $$ {} $$; "
SHARED |= {
    "asked by a trigger of a table that stays": (
        ASKING.format("trigger", "plpgsql", "BEGIN NEW.name := nextval('visit_codes'); RETURN NEW; END")
        + "CREATE TRIGGER asks BEFORE INSERT ON yard_setting FOR EACH ROW EXECUTE FUNCTION asks()",
        "visit_codes also numbers public.yard_setting, by the function public.asks",
    ),
    "asked by a function in a default of a table that stays": (
        ASKING.format("text", "sql", "SELECT 'N' || nextval('visit_codes')")
        + "ALTER TABLE yard_setting ALTER name SET DEFAULT asks()",
        "visit_codes also numbers public.yard_setting, by the function public.asks",
    ),
    "the default of a domain": (
        "CREATE DOMAIN code AS text DEFAULT 'N' || nextval('visit_codes'); ALTER TABLE yard_setting ADD code code",
        "visit_codes also numbers public.yard_setting, by type public.code",
    ),
    "a function in the default of a domain over a domain": (
        ASKING.format("text", "sql", "SELECT 'N' || nextval('visit_codes')")
        + "CREATE DOMAIN inner_code AS text DEFAULT asks(); CREATE DOMAIN code AS inner_code; "
        "ALTER TABLE yard_setting ADD code code",
        "visit_codes also numbers public.yard_setting, by the function public.asks",
    ),
    "a rule": (
        "CREATE RULE noted AS ON INSERT TO yard_setting DO ALSO "
        "INSERT INTO yard_setting SELECT 'N' || nextval('visit_codes') WHERE false",
        "visit_codes also numbers public.yard_setting, by rule noted",
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_sequence_that_a_table_that_stays_asks_too(ground: Yard, name: str) -> None:
    statement, message = SHARED[name]
    execute(ground, statement, ("monolith",))

    assert message in refusal(ground).message


FUNCTIONS = {
    "in a trigger": (
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.code := nextval('audit.\"Entry_id_seq\"'); RETURN NEW; END $$; "
        "CREATE TRIGGER stamp BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION stamp()",
        "stamp asks audit.Entry_id_seq",
    ),
    "in a function that a default calls": (
        "CREATE FUNCTION numbered() RETURNS text LANGUAGE sql AS $$ "
        "SELECT 'X' || nextval('audit.\"Entry_id_seq\"') $$; "
        "ALTER TABLE visit ALTER code SET DEFAULT numbered(); DROP SEQUENCE visit_codes",
        "numbered asks audit.Entry_id_seq",
    ),
    "in a function with a body of its own": (
        "CREATE FUNCTION numbered() RETURNS text LANGUAGE sql BEGIN ATOMIC "
        "SELECT 'X' || nextval('audit.\"Entry_id_seq\"'); END; "
        "ALTER TABLE visit ALTER code SET DEFAULT numbered(); DROP SEQUENCE visit_codes",
        "numbered asks audit.Entry_id_seq",
    ),
}
FUNCTIONS |= {
    "in the default of a domain": (
        "CREATE DOMAIN code AS text DEFAULT 'X' || nextval('audit.\"Entry_id_seq\"'); "
        "ALTER TABLE visit ALTER code DROP DEFAULT, ALTER code TYPE code; DROP SEQUENCE visit_codes",
        "type public.code asks audit.Entry_id_seq",
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_asks_the_sequence_of_a_table_that_stays(ground: Yard, name: str) -> None:
    statement, message = FUNCTIONS[name]
    execute(ground, statement, ("monolith",))

    assert message in told(ground)


UNLIKE = [
    ("ALTER SEQUENCE visit_codes INCREMENT 10", "public.visit.code: its sequence counts by 1 here and by 10 there"),
    ("ALTER SEQUENCE visit_codes CYCLE", "public.visit.code: its sequence cycles on one side only"),
    ("ALTER SEQUENCE visit_codes MAXVALUE 1004", "it has come to 1008 here, which the sequence there cannot give out"),
    ("ALTER TABLE visit ALTER code DROP DEFAULT", "public.visit.code is numbered by a sequence on one side only"),
    ("ALTER SEQUENCE visit_codes INCREMENT -1 MINVALUE 1 MAXVALUE 2000", "counts by 1 here and by -1 there"),
    ("ALTER SEQUENCE ticket_id_seq AS smallint MAXVALUE 20", "it has come to 30 here"),
]


@pytest.mark.parametrize(("statement", "message"), UNLIKE)
def test_a_sequence_of_the_service_that_could_not_go_on(ground: Yard, statement: str, message: str) -> None:
    execute(ground, statement, ("service",))

    assert message in told(ground)


def told(made: Yard) -> str:
    """The error of a start, and everything that is wrong with the numbers: unequal tables are reported first, and
    alone."""
    with made.working() as parts:
        return "\n".join([refusal(made).message, *parts.replication.misnumbered("monolith")])


def test_a_sequence_that_has_become_too_small_shuts_a_gate_before_anything_pauses(moving: Yard) -> None:
    moving.switch()
    moving.verify()
    execute(moving, "ALTER SEQUENCE ticket_id_seq MAXVALUE 30", ("monolith",))
    with moving.service() as connection:
        connection.execute('INSERT INTO ticket (number, crate) SELECT 9, id FROM "Crate" LIMIT 1')

        with pytest.raises(RefusedError, match=r"gate sequences: public\.ticket\.id: it has come to 31 here"):
            moving.switch("reverse")

        assert value(connection, "SELECT open AND epoch = 2 AND NOT pausing FROM strangler.side")


def test_a_row_behind_which_there_are_no_numbers_shuts_a_gate(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute('INSERT INTO ticket (id, number, crate) SELECT 2147483647, 9, id FROM "Crate" LIMIT 1')

    with pytest.raises(RefusedError, match="a row has the number 2147483647"):
        moving.switch()


@pytest.mark.parametrize("increment", [1, -1])
def test_a_sequence_that_is_used_up_is_told_by_its_side(moving: Yard, increment: int) -> None:
    limits = "MAXVALUE 1000" if increment > 0 else "MINVALUE -1000 MAXVALUE 1000"
    execute(moving, f"ALTER SEQUENCE visit_codes INCREMENT {increment} {limits}", ("service",))
    with moving.working() as parts, pytest.raises(MoveError, match="a sequence cannot go on: setval") as caught:
        parts.service.prepare(target=2, positions={"public.visit.code": increment * 2000})

    assert "ALTER SEQUENCE" in str(caught.value.remedy)


def test_numbers_that_fall_go_on_falling(ground: Yard) -> None:
    execute(
        ground,
        "ALTER SEQUENCE ticket_id_seq INCREMENT -1 MINVALUE -1000 MAXVALUE 0 START 0 RESTART; "
        "ALTER SEQUENCE visit_codes INCREMENT -5 MINVALUE -1000 MAXVALUE 2000 START 2000 RESTART",
    )
    add = (
        "INSERT INTO ticket (number, crate) SELECT 100 + (SELECT count(*) FROM ticket), id "
        'FROM "Crate" LIMIT 1 RETURNING id'
    )
    with ground.monolith() as connection:
        connection.execute("DELETE FROM ticket")
        assert [value(connection, add) for _ in range(2)] == [0, -1]
        code = value(connection, "SELECT nextval('visit_codes')")
    made = moved(ground)
    with made.service() as connection:
        assert value(connection, add) == -2
        assert value(connection, "SELECT nextval('visit_codes')") == code - 5
    assert made.doctor() == []
    made.verify()
    made.switch("reverse")
    with made.monolith() as connection:
        assert value(connection, add) == -3


def test_a_sequence_that_cycles_goes_on_where_it_stands(ground: Yard) -> None:
    execute(ground, "ALTER SEQUENCE visit_codes MINVALUE 1 MAXVALUE 1010 CYCLE")
    with ground.monolith() as connection:
        connection.execute("SELECT setval('visit_codes', 3)")
    with ground.service() as connection:
        connection.execute("SELECT setval('visit_codes', 900)")

    made = moved(ground)

    with made.service() as connection:
        assert value(connection, "SELECT nextval('visit_codes')") == 4


def test_a_coordinator_that_comes_late_sets_no_sequence_of_an_owner_back(ground: Yard) -> None:
    execute(ground, "ALTER SEQUENCE visit_codes MINVALUE 1 MAXVALUE 1010 CYCLE")
    made = moved(ground)
    with made.service() as connection, made.working() as parts:
        connection.execute("SELECT setval('visit_codes', 500)")

        with pytest.raises(StaleError):
            parts.service.prepare(target=2, positions={"public.visit.code": 7})

        assert value(connection, "SELECT nextval('visit_codes')") == 501


def test_a_sequence_with_a_cache_gives_no_number_twice(ground: Yard) -> None:
    execute(ground, "ALTER SEQUENCE visit_codes CACHE 20")
    with ground.monolith() as held:
        first = value(held, "SELECT nextval('visit_codes')")
        made = moved(ground)
        with made.service() as connection:
            assert value(connection, "SELECT nextval('visit_codes')") >= first + 20


def test_a_column_with_two_sequences_keeps_both(ground: Yard) -> None:
    execute(ground, "CREATE SEQUENCE tickets START 5000; ALTER TABLE ticket ALTER id SET DEFAULT nextval('tickets')")
    with ground.monolith() as connection:
        connection.execute("SELECT nextval('tickets') FROM generate_series(1, 5)")
        connection.execute("SELECT setval('ticket_id_seq', 7000)")

    made = moved(ground)

    with made.service() as connection:
        assert value(connection, "SELECT nextval('tickets')") == 5005
        assert value(connection, "SELECT nextval('ticket_id_seq')") == 7001


def test_a_column_whose_sequence_has_another_name_there(ground: Yard) -> None:
    execute(ground, "ALTER SEQUENCE visit_codes RENAME TO codes_of_visits", ("service",))
    with ground.monolith() as connection:
        last = value(connection, "SELECT nextval('visit_codes')")

    made = moved(ground)

    with made.service() as connection:
        assert value(connection, "SELECT nextval('codes_of_visits')") == last + 1


@pytest.mark.parametrize("start", [-(2**63), 2**63 - 1])
def test_a_sequence_at_the_outermost_number_is_no_error(ground: Yard, start: int) -> None:
    step = 1 if start < 0 else -1
    execute(
        ground,
        f"CREATE SEQUENCE outermost INCREMENT {step} MINVALUE {-(2**63)} MAXVALUE {2**63 - 1} START {start}",
    )

    made = moved(with_sequences(ground, "outermost"))

    with made.service() as connection:
        assert value(connection, "SELECT nextval('outermost')") == start


# Statements on both sides, on the monolith, and in the service; the next numbers there, and then back here.
STEPS = {
    "odd numbers behind an even row": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT 2 RESTART 101",
        "SELECT nextval('ticket_id_seq'); "
        'INSERT INTO ticket (id, number, crate) SELECT 110, 7, id FROM "Crate" LIMIT 1',
        "",
        [111, 113],
        [115],
    ),
    "odd numbers that were never asked for": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT 2",
        "ALTER SEQUENCE ticket_id_seq START 101 RESTART",
        "ALTER SEQUENCE ticket_id_seq START 2 RESTART",
        [101, 103],
        [105],
    ),
    "odd numbers where even ones were given out": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT 2",
        "SELECT setval('ticket_id_seq', 101)",
        "SELECT setval('ticket_id_seq', 120)",
        [121, 123],
        [125],
    ),
    "negative steps": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT -3 MINVALUE -1000 MAXVALUE 0 START 0 RESTART; DELETE FROM ticket",
        "SELECT nextval('ticket_id_seq'), nextval('ticket_id_seq'); "
        'INSERT INTO ticket (id, number, crate) SELECT -10, 7, id FROM "Crate" LIMIT 1',
        "",
        [-12, -15],
        [-18],
    ),
    "a least number between the steps": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT 10 MINVALUE 4 START 7 RESTART; DELETE FROM ticket",
        "",
        "SELECT setval('ticket_id_seq', 5)",
        [7, 17],
        [27],
    ),
    "a first number below a step": (
        "ALTER SEQUENCE ticket_id_seq INCREMENT 100 START 50 RESTART; DELETE FROM ticket",
        "",
        "SELECT setval('ticket_id_seq', 1)",
        [50, 150],
        [250],
    ),
    "steps over the whole range": (
        "ALTER SEQUENCE visit_codes INCREMENT 7 MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807",
        "SELECT setval('visit_codes', -9223372036854775806)",
        "SELECT setval('visit_codes', 9223372036854775000)",
        [],
        [],
    ),
    "a cycle that has not begun": (
        "ALTER SEQUENCE visit_codes INCREMENT 2 MINVALUE 1 MAXVALUE 10 START 1 RESTART CYCLE",
        "",
        "SELECT setval('visit_codes', 8)",
        [1, 3, 5],
        [7],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_sequence_goes_on_in_its_own_steps(ground: Yard, name: str) -> None:
    both, here, there, next_there, next_here = STEPS[name]
    sequence = "visit_codes" if "visit_codes" in both else "ticket_id_seq"
    execute(ground, both)
    execute(ground, here or "SELECT", ("monolith",))
    execute(ground, there or "SELECT", ("service",))

    made = moved(ground)

    with made.service() as connection:
        assert [value(connection, f"SELECT nextval('{sequence}')") for _ in next_there] == next_there
        if not next_there:
            wide = value(connection, "SELECT nextval('visit_codes')")
            assert wide > 9223372036854775000
            assert (wide + 9223372036854775806) % 7 == 0
    made.verify()
    made.switch("reverse")
    with made.monolith() as connection:
        assert [value(connection, f"SELECT nextval('{sequence}')") for _ in next_here] == next_here


def test_a_row_behind_which_there_are_no_numbers_of_the_same_steps_shuts_a_gate(ground: Yard) -> None:
    execute(ground, "ALTER SEQUENCE ticket_id_seq INCREMENT 10 MAXVALUE 50")
    with ground.monolith() as connection:
        connection.execute("SELECT setval('ticket_id_seq', 38)")
        connection.execute('INSERT INTO ticket (id, number, crate) SELECT 49, 9, id FROM "Crate" LIMIT 1')

    assert "a row has the number 49, behind which the sequence there has none left" in told(ground)


def test_a_sequence_that_begins_where_the_other_one_has_no_numbers(ground: Yard) -> None:
    execute(ground, "DELETE FROM visit; ALTER SEQUENCE visit_codes RESTART", ("monolith",))
    execute(ground, "ALTER SEQUENCE visit_codes MINVALUE 1 MAXVALUE 500 START 1 RESTART", ("service",))

    assert "it begins at 1000 here, which the sequence there cannot give out" in told(ground)
