from __future__ import annotations

import psycopg
import pytest
from servers import Connection
from strangler.domain.errors import ConfigurationError
from strangler.rehearsal.adapters.rows import PostgresRows


def test_rows_are_found_by_text_whatever_their_type(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO public.note (id, title, body, stars, pinned) "
        "VALUES (7, 'a', 'x', 1, true), (8, 'a', 'y', 2, false)"
    )
    rows = PostgresRows(connection)

    by_id = [(row.key, row.columns) for row in rows.find("note", ["id"], ["title"], [("9",), ("8",), ("7",)])]
    by_title = [row.columns for row in rows.find("public.note", ["title"], ["stars", "pinned"], [("a",)])]

    assert sorted(by_id, key=lambda row: row[0]) == [(1, {"title": "a"}), (2, {"title": "a"})]
    assert by_title == [{"stars": "1", "pinned": "true"}, {"stars": "2", "pinned": "false"}]


def test_a_key_of_two_columns_matches_as_a_pair(connection: Connection) -> None:
    connection.execute("INSERT INTO public.shelf VALUES ('a', 1, 'a1'), ('a', 2, 'a2'), ('b', 1, 'b1')")

    found = PostgresRows(connection).find("shelf", ["room", "place"], ["label"], [("a", "2"), ("b", "1"), ("b", "2")])

    assert sorted((row.key, row.columns["label"]) for row in found) == [(0, "a2"), (1, "b1")]


def test_many_keys_are_found_in_batches(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO public.note (title, body, stars, pinned) "
        "SELECT n::text, '', n, true FROM generate_series(0, 11999) n"
    )

    found = list(PostgresRows(connection).find("note", ["title"], ["stars"], [(str(n),) for n in range(12000)]))

    assert len(found) == 12000
    assert all(row.columns["stars"] == str(row.key) for row in found)


def test_a_column_that_does_not_exist_is_the_scenario_s_mistake(connection: Connection) -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        list(PostgresRows(connection).find("note", ["title"], ["colour"], [("a",)]))


def test_a_row_that_is_found_by_its_primary_key_is_not_doubled(connection: Connection) -> None:
    connection.execute("INSERT INTO public.note (id, title, body, stars, pinned) VALUES (7, 'a', 'x', 1, true)")
    rows = PostgresRows(connection)

    with rows.spoiling():
        assert not rows.double("note", {"id": "7"})
        assert not rows.double("note", {"id": "7", "title": "a"})
        assert rows.double("note", {"title": "a"})


def test_a_row_is_doubled_while_traffic_writes_the_next_one(connection: Connection, dsn: str) -> None:
    insert = "INSERT INTO public.note (title, body, stars, pinned) VALUES (%s, 'x', 1, true)"
    connection.execute(insert, ("a",))
    connection.execute("SET lock_timeout = '2s'")
    rows = PostgresRows(connection)

    with psycopg.connect(dsn) as traffic, rows.spoiling():
        traffic.execute(insert, ("b",))
        assert rows.double("note", {"title": "a"})
        traffic.commit()
        assert rows.double("note", {"title": "b"})
        traffic.execute("SET lock_timeout = '2s'")
        traffic.execute(insert, ("c",))


def test_where_a_table_forbids_small_keys_a_greater_one_doubles_the_row(connection: Connection) -> None:
    connection.execute("ALTER TABLE public.note ADD CHECK (id > 0)")
    connection.execute("INSERT INTO public.note (title, body, stars, pinned) VALUES ('a', 'x', 1, true)")
    rows = PostgresRows(connection)

    with rows.spoiling():
        assert rows.double("note", {"title": "a"})


def test_damage_is_done_and_taken_back(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO public.note (title, body, stars, pinned) "
        "VALUES ('a', 'x', 1, true), ('b', 'y', 2, false), ('c', 'z', 3, true)"
    )
    rows = PostgresRows(connection)
    held = "SELECT title, body FROM public.note ORDER BY title, id"
    before = connection.execute(held).fetchall()

    with rows.spoiling():
        assert rows.double("note", {"title": "a"})
        assert rows.drop("note", {"title": "b"})
        assert not rows.corrupt("note", {"title": "c"}, "missing")
        assert rows.corrupt("note", {"title": "c"}, "body")
        spoilt = connection.execute(held).fetchall()

    assert spoilt == [("a", "x"), ("a", "x"), ("c", "spoilt")]
    assert connection.execute(held).fetchall() == before


def test_damage_that_the_database_forbids_is_not_done(connection: Connection) -> None:
    connection.execute("INSERT INTO public.shelf VALUES ('a', 1, 'a1')")
    connection.execute("CREATE UNIQUE INDEX ON public.shelf (label)")
    rows = PostgresRows(connection)

    with rows.spoiling():
        assert not rows.double("shelf", {"label": "a1"})
        assert rows.drop("shelf", {"label": "a1"})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("varchar(1)", "'x'"),
        ("smallint", "32767"),
        ("numeric(3, 2)", "9.99"),
        ("numeric(3, 2)", "0"),
        ("double precision", "NULL"),
        ("boolean", "true"),
        ("date", "'2024-02-29'"),
        ("timestamptz", "'2024-02-29 12:00+00'"),
        ("timestamp", "NULL"),
        ("time", "'23:30'"),
        ("interval", "'1 hour'"),
        ("uuid", "gen_random_uuid()"),
        ("jsonb", "'{}'"),
    ],
)
def test_a_value_of_any_of_these_types_is_changed(connection: Connection, kind: str, value: str) -> None:
    connection.execute("DROP TABLE IF EXISTS public.kinds")
    connection.execute(f"CREATE TABLE public.kinds (id int PRIMARY KEY, it {kind})".encode())
    connection.execute(f"INSERT INTO public.kinds VALUES (1, {value})".encode())
    rows = PostgresRows(connection)
    before = connection.execute("SELECT it::text FROM public.kinds").fetchone()

    with rows.spoiling():
        assert rows.corrupt("kinds", {"id": "1"}, "it")
        assert connection.execute("SELECT it::text FROM public.kinds").fetchone() != before

    assert connection.execute("SELECT it::text FROM public.kinds").fetchone() == before
