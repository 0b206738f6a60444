"""Values reach the other side unchanged, whatever a cast of their type says, and in whatever kind of key they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Cluster
from strangler.adapters.postgres.copies import hashing
from test_verifying import spoil
from yard import Yard, yard

# The owner of a type, an enum or a composite can define, by a cast, its form as text or json, and how text is read.
CASTS = """
CREATE EXTENSION btree_gist;
CREATE TYPE grade AS ENUM ('low', 'high');
CREATE FUNCTION masked(grade) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$SELECT 'low'$$;
CREATE CAST (grade AS text) WITH FUNCTION masked(grade) AS ASSIGNMENT;
CREATE FUNCTION graded(text) RETURNS grade IMMUTABLE STRICT LANGUAGE sql AS $$SELECT 'low'::grade$$;
CREATE CAST (text AS grade) WITH FUNCTION graded(text) AS IMPLICIT;
CREATE TYPE price AS (amount numeric, currency text);
CREATE FUNCTION shown(price) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$SELECT $1.currency || ' …'$$;
CREATE CAST (price AS text) WITH FUNCTION shown(price) AS IMPLICIT;
CREATE DOMAIN steps AS grade;
CREATE TABLE priced (
    id integer PRIMARY KEY, grade grade, price price, prices price[], steps steps, blanks bpchar, host inet,
    sure boolean
);
CREATE TABLE graded (grade grade, id integer, note text, PRIMARY KEY (grade, id));
CREATE TABLE booked (room integer, during tstzrange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS));
"""
FILL = """
INSERT INTO priced SELECT n, 'high', p::price, ARRAY[p::price], 'high', 'x  ', '10.0.0.1', n > 2
FROM generate_series(1, 9) n, format('(%s,EUR)', n) p;
INSERT INTO graded SELECT g, n, n::text FROM unnest(ARRAY['low', 'high']::grade[]) g, generate_series(1, 5) n;
INSERT INTO booked SELECT n % 3, tstzrange(d, d + interval '1 day'), 'guest'
FROM generate_series(1, 9) n, LATERAL (SELECT timestamptz '2030-01-01Z' + n * interval '1 day') t (d);
"""
TABLES = ("priced", "graded", "booked")


@pytest.fixture
def valued(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Yard]:
    with yard(clusters, tmp_path) as made:
        for side in ("monolith", "service"):
            with made.side(side) as connection:
                connection.execute(CASTS.encode())
        with made.monolith() as connection:
            connection.execute(FILL.encode())
        yield made.with_tables(*made.project.capabilities["crates"].tables, *TABLES)


def _contents(made: Yard, side: str) -> list[list[tuple[str]]]:
    with made.side(side) as connection:
        return [
            connection.execute(f"SELECT row(t.*)::text FROM {table} t ORDER BY 1".encode()).fetchall()
            for table in TABLES
        ]


@pytest.mark.parametrize("rows", [2, 20_000])
def test_what_differs_is_named_and_mended_to_the_owner_s_very_values(
    valued: Yard, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(hashing, "RANGE_ROWS", rows)
    valued.start()
    before = _contents(valued, "monolith")
    assert valued.verify().differing == 0
    with valued.service() as there:
        spoil(
            there,
            "UPDATE priced SET grade = 'low' WHERE id = 1",
            "UPDATE priced SET price = (7, 'EUR') WHERE id = 2",
            "UPDATE priced SET prices = NULL, steps = 'low' WHERE id = 3",
            "UPDATE priced SET blanks = 'x' WHERE id = 4",
            "UPDATE priced SET host = '10.0.0.2', sure = NULL WHERE id = 5",
            "DELETE FROM priced WHERE id = 6",
            "UPDATE graded SET note = 'x' WHERE grade = 'high' AND id = 1",
            "DELETE FROM graded WHERE grade = 'low' AND id = 1",
            "DELETE FROM graded WHERE grade = 'high' AND id = 2",
            "INSERT INTO graded VALUES ('high', 7)",
            "UPDATE booked SET guest = 'x' WHERE room = 1 AND during @> timestamptz '2030-01-05 01:00Z'",
            "DELETE FROM booked WHERE room = 2 AND during @> timestamptz '2030-01-06 01:00Z'",
            "INSERT INTO booked VALUES (5, '[2030-01-01 00:00Z,2030-01-02 00:00Z)')",
        )

    assert set(valued.verify().differences) == {
        "priced (1): differs in grade",
        "priced (2): differs in price",
        "priced (3): differs in prices, steps",
        "priced (4): differs in blanks",
        "priced (5): differs in host, sure",
        "priced (6): missing in the copy",
        "graded (high, 1): differs in note",
        "graded (low, 1): missing in the copy",
        "graded (high, 2): missing in the copy",
        "graded (high, 7): only in the copy",
        'booked (1, ["2030-01-05 00:00:00+00","2030-01-06 00:00:00+00")): differs in guest',
        'booked (2, ["2030-01-06 00:00:00+00","2030-01-07 00:00:00+00")): missing in the copy',
        'booked (5, ["2030-01-01 00:00:00+00","2030-01-02 00:00:00+00")): only in the copy',
    }
    assert valued.verify(repair=True).differing == 0
    assert _contents(valued, "service") == _contents(valued, "monolith") == before


def test_a_move_of_such_tables_goes_there_and_back(valued: Yard) -> None:
    valued.move_to_service()
    with valued.service() as there:
        there.execute("UPDATE booked SET guest = 'there' WHERE room = 1")
        there.execute("UPDATE graded SET note = 'there' WHERE grade = 'high'")
    valued.catch_up("service")

    assert valued.verify().differing == 0
    valued.switch("reverse")
    assert _contents(valued, "service") == _contents(valued, "monolith")
