"""Types whose operators lie in a schema that no session of the tool searches are compared as their own index does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Cluster, eventually
from strangler.adapters.postgres.copies import hashing
from strangler.adapters.postgres.session.connection import connect
from strangler.rehearsal.adapters.rows import PostgresRows
from test_verifying import spoil
from yard import Yard, yard

# Under citext 'a' < 'B' < 'c'; as text 'B' comes first.
TABLES = """
CREATE EXTENSION citext SCHEMA {schema};
CREATE TABLE badge (code {schema}.citext PRIMARY KEY, note text NOT NULL DEFAULT '');
CREATE DOMAIN plate AS {schema}.citext CHECK (VALUE <> '');
CREATE TABLE pair (plate plate, number integer, name {schema}.citext, note text, PRIMARY KEY (plate, number, name));
"""
FILL = """
INSERT INTO badge (code) SELECT CASE n % 2 WHEN 0 THEN chr(65 + n) ELSE chr(97 + n) END FROM generate_series(0, 25) n;
INSERT INTO pair (plate, number, name)
SELECT CASE n % 2 WHEN 0 THEN chr(65 + n / 4) ELSE chr(97 + n / 4) END || n % 2, n % 3, 'N' || n
FROM generate_series(0, 39) n;
"""


@pytest.fixture(params=["public", "extensions"])
def badges(request: pytest.FixtureRequest, clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Yard]:
    with yard(clusters, tmp_path) as made:
        for side in ("monolith", "service"):
            with made.side(side) as connection:
                if request.param != "public":
                    connection.execute("CREATE SCHEMA extensions")
                connection.execute(TABLES.replace("{schema}", request.param).encode())
        with made.monolith() as connection:
            connection.execute(FILL.encode())
        wider = made.with_tables(*made.project.capabilities["crates"].tables, "badge", "pair")
        yield wider


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("rows", [1, 4, 20_000])
def test_every_row_is_seen_once_whatever_the_ranges(badges: Yard, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(hashing, "RANGE_ROWS", rows)
    badges.start()

    found = badges.verify()

    assert (found.verified_rows, found.differing) == (152 + 26 + 40, 0)


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("rows", [1, 4, 20_000])
def test_what_differs_is_named_and_mended(badges: Yard, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(hashing, "RANGE_ROWS", rows)
    badges.start()
    with badges.service() as there:
        spoil(
            there,
            "UPDATE badge SET note = 'x' WHERE code = 'C'",
            "DELETE FROM badge WHERE code = 'd'",
            "INSERT INTO badge VALUES ('zz')",
            "UPDATE badge SET code = 'e' WHERE code = 'E'",
            "UPDATE badge SET code = 'F' WHERE code = 'f'",
            "UPDATE pair SET note = 'x' WHERE number = 2 AND name = 'N8'",
            "DELETE FROM pair WHERE name = 'N17'",
        )

    found = badges.verify()
    assert "badge (C): differs in note" in found.differences
    assert "badge (d): missing in the copy" in found.differences
    assert "badge (zz): only in the copy" in found.differences
    assert "badge (F): only in the copy" in found.differences
    assert len([one for one in found.differences if one.startswith("pair")]) == 2

    assert badges.verify(repair=True).differing == 0
    with badges.monolith() as here, badges.service() as there:
        for table in ("badge", "pair"):
            query = f"SELECT t::text FROM {table} t ORDER BY 1".encode()
            assert there.execute(query).fetchall() == here.execute(query).fetchall()


def test_a_move_goes_there_and_back(badges: Yard) -> None:
    badges.move_to_service()
    with badges.service() as there, badges.monolith() as here:
        there.execute("UPDATE badge SET note = 'there' WHERE code = 'b'")
        eventually(lambda: here.execute("SELECT 1 FROM badge WHERE note = 'there'").fetchone())
    assert badges.verify().differing == 0
    badges.switch("reverse")


def test_the_rehearsal_finds_rows_by_such_keys(badges: Yard) -> None:
    with connect(badges.endpoints.databases["yard"], purpose="check") as connection:
        rows = PostgresRows(connection)

        found = list(rows.find("badge", ["code"], ["note"], [("a",), ("B",), ("nobody",)]))
        pairs = list(rows.find("pair", ["plate", "number", "name"], [], [("a1", "1", "n1")]))

    assert sorted(one.key for one in found) == [0, 1]
    assert len(pairs) == 1


def test_a_type_that_lies_in_another_schema_there_is_the_same_type(badges: Yard) -> None:
    with badges.service() as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("ALTER EXTENSION citext SET SCHEMA elsewhere")
    badges.move_to_service()
    badges.switch("reverse")
    with badges.service() as connection:
        spoil(connection, "UPDATE badge SET note = 'spoilt' WHERE code::text = 'C'")

    assert badges.verify().differences == ["badge (C): differs in note"]
    assert badges.verify(repair=True).differing == 0
