"""Tables and columns may have any name that PostgreSQL allows."""

from __future__ import annotations

import pytest
from psycopg import sql
from strangler.domain.errors import PreflightError
from test_verifying import spoil
from yard import Yard

# Words that queries of the tool use themselves, keywords, and names that have to be quoted.
WORDS = (
    "position",
    "excluded",
    "row_number",
    "row_number_",
    "numbered",
    "present",
    "k",
    "t",
    "l",
    "which",
    "value",
    "wanted",
    "opened",
    "leaf",
    "relation",
    "sequence",
    "capability",
    "strangler",
    "select",
    "user",
    "table",
    "current_user",
    "old",
    "new",
    "tg_argv",
    "Upper",
    "with space",
    "it's",
    'a "quote"',
    "dots.in.it",
    "100%s %(x)s %",
    "back\\slash",
    "{}",
    "$1",
    ":x",
    "é商品",
    "x" * 63,
)
# strangler.toml has no quotes in names, and a dot ends a schema.
TABLES = [word for word in WORDS if '"' not in word and "." not in word]


def _made(ground: Yard, table: str, columns: tuple[str, ...], *, key: int) -> Yard:
    name = sql.Identifier(table)
    parts = [sql.SQL("{} text NOT NULL").format(sql.Identifier(column)) for column in columns]
    primary = sql.SQL(", ").join(map(sql.Identifier, columns[:key]))
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute(
                sql.SQL("CREATE TABLE public.{} ({}, PRIMARY KEY ({}))").format(
                    name, sql.SQL(", ").join(parts), primary
                )
            )
    with ground.monolith() as connection:
        for number in range(7):
            row = sql.SQL(", ").join(sql.Literal(f"{column} {number}") for column in columns)
            connection.execute(sql.SQL("INSERT INTO public.{} VALUES ({})").format(name, row))
    return ground.with_tables(*ground.project.capabilities["crates"].tables, table)


def _goes_there_and_back(made: Yard, table: str, column: str) -> None:
    name, field = sql.Identifier(table), sql.Identifier(column)
    made.start()
    with made.service() as connection:
        for change in (
            "UPDATE public.{0} SET {1} = 'spoilt' WHERE {1} LIKE '%3'",
            "DELETE FROM public.{0} WHERE {1} LIKE '%5'",
        ):
            statement = sql.SQL(change).format(name, field).as_string(connection)
            spoil(connection, statement)
    assert made.verify(repair=True).repaired == 2
    made.switch()
    with made.service() as connection:
        connection.execute(sql.SQL("UPDATE public.{0} SET {1} = 'there' WHERE {1} LIKE '%4'").format(name, field))
    made.verify()
    made.switch("reverse")
    with made.monolith() as connection:
        query = sql.SQL("SELECT count(*) FROM public.{0} WHERE {1} = 'there'").format(name, field)
        assert connection.execute(query).fetchone() == (1,)


@pytest.mark.usefixtures("one_row_a_range")
def test_columns_of_any_name(ground: Yard) -> None:
    made = _made(ground, "yard_any", WORDS, key=6)

    _goes_there_and_back(made, "yard_any", WORDS[-1])


@pytest.mark.usefixtures("one_row_a_range")
def test_tables_of_any_name(ground: Yard) -> None:
    made = ground
    for table in TABLES:
        made = _made(made, table, ("position", "excluded"), key=1)

    _goes_there_and_back(made, "excluded", "excluded")


@pytest.fixture
def one_row_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.adapters.postgres.copies.hashing.RANGE_ROWS", 2)
    monkeypatch.setattr("strangler.adapters.postgres.copies.hashing.FEW_ROWS", 1)


def test_a_name_that_two_tables_have(ground: Yard) -> None:
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute('CREATE TABLE "bays.yard_one" (id int PRIMARY KEY)')
            connection.execute("CREATE TABLE bays.yard_one (id int PRIMARY KEY)")

    with pytest.raises(PreflightError, match=r'bays.yard_one is the name of .*public\."bays\.yard_one"'):
        ground.with_tables("bays.yard_one").start()


@pytest.mark.usefixtures("one_row_a_range")
def test_keys_of_types_that_are_not_the_servers_own(ground: Yard) -> None:
    """Each in a schema where no session of the tool looks for operators."""
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute("CREATE SCHEMA kinds")
            connection.execute("CREATE TYPE kinds.mood AS ENUM ('loud', 'calm')")
            connection.execute("CREATE DOMAIN kinds.code AS text")
            connection.execute("CREATE TYPE kinds.spot AS (a integer, b text)")
            connection.execute("CREATE EXTENSION citext SCHEMA kinds")
            connection.execute(
                'CREATE TABLE yard_typed (mood kinds.mood, code kinds.code, spot kinds.spot, "Name" kinds.citext, '
                'body text, PRIMARY KEY ("Name", mood, code, spot))'
            )
    with ground.monolith() as connection:
        connection.execute(
            "INSERT INTO yard_typed SELECT (ARRAY['loud', 'calm'])[1 + n % 2]::kinds.mood, n::text, "
            "(n, 'x,y')::kinds.spot, chr(65 + n % 2 * 32 + n) || n, 'x' FROM generate_series(0, 9) n"
        )
    made = ground.with_tables(*ground.project.capabilities["crates"].tables, "yard_typed")
    made.start()
    assert made.verify().verified_rows == 162
    with made.service() as connection:
        spoil(
            connection, "DELETE FROM yard_typed WHERE code = '3'", "UPDATE yard_typed SET body = 'y' WHERE code = '7'"
        )

    found = made.verify(repair=True)

    assert (found.repaired, found.differing) == (2, 0)
