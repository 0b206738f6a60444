"""How rows go from one server to the other, and how ranges are cut and hashed: the parts of a start and of a verify."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql
from strangler.adapters.postgres.copies import hashing, piping, reading, totals
from strangler.adapters.postgres.copies.workers import Workers
from strangler.adapters.postgres.session.connection import Connection, connect
from strangler.adapters.postgres.tables.catalog import Table, read_tables
from yard import LEAVES, Yard

# Each is of a type that may go in binary form.
VALUES = {
    "bool": "true",
    "bpchar": "'a  '",
    "bytea": r"'\x00ff5c'",
    "cidr": "'10.0.0.0/8'",
    "date": "'infinity'",
    "float4": "'NaN'",
    "float8": "'-0'",
    "inet": "'::1/64'",
    "int2": "-32768",
    "int4": "-2147483648",
    "int8": "-9223372036854775808",
    "interval": "'1 month -1 day 00:00:00.000001'",
    "json": """'{"a" : 1, "a": "\\u00e9"}'""",
    "jsonb": """'{"a": [1.10, null]}'""",
    "macaddr": "'08:00:2b:01:02:03'",
    "macaddr8": "'08:00:2b:01:02:03:04:05'",
    "numeric": "'1.1000'",
    "text": r"E'\\N\n\t\\.é'",
    "time": "'24:00'",
    "timestamp": "'-infinity'",
    "timestamptz": "'2024-02-29 23:59:59.999999+00'",
    "timetz": "'12:00+05:30'",
    "uuid": "'00000000-0000-4000-8000-00000000000f'",
    "varchar": "''",
}
ELSEWHERE_SPELT = ("colour", "colour[]", "regclass", "money", "int4range", "xml", '"char"', "shape", "share")


@pytest.fixture
def sessions(ground: Yard) -> Iterator[tuple[Connection, Connection]]:
    """The tool's sessions in the monolith's database and in the service's."""
    with ExitStack() as held:
        here, there = (
            held.enter_context(connect(cluster.dsn(name), purpose="test", idle_ms=0))
            for cluster, name in zip(ground.clusters, ground.databases, strict=True)
        )
        yield here, there


def made(connection: Connection, definition: str, name: str = "goods") -> Table:
    """A table with these columns."""
    connection.execute(f"CREATE TABLE public.{name} ({definition})".encode())
    return read_tables(connection, [name], database="any")[0]


def everything(table: Table) -> sql.Composed:
    return sql.SQL("SELECT * FROM {}").format(table.sql())


@pytest.mark.parametrize("binary", [False, True])
def test_values_of_every_portable_type_arrive_as_they_were(
    sessions: tuple[Connection, Connection], binary: bool
) -> None:
    here, there = sessions
    columns = ", ".join(f'"{kind}" pg_catalog.{kind}, "{kind} list" pg_catalog.{kind}[]' for kind in VALUES)
    source, target = (made(each, columns) for each in sessions)
    listed = ", ".join(f"{value}, ARRAY[{value}, NULL]::pg_catalog.{kind}[]" for kind, value in VALUES.items())
    here.execute(f"INSERT INTO public.goods VALUES ({listed})".encode())
    here.execute("INSERT INTO public.goods DEFAULT VALUES")

    assert set(VALUES) == set(piping.PORTABLE)
    assert piping.portable(here, source, there, target)
    into = sql.SQL("{}").format(target.sql())
    assert piping.pipe(here, everything(source), there, into, binary=binary) == 2

    rows = [each.execute("SELECT t::text FROM public.goods t").fetchall() for each in sessions]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("kind", ELSEWHERE_SPELT)
def test_values_that_name_something_of_their_database_go_as_text(
    sessions: tuple[Connection, Connection], kind: str
) -> None:
    for each in sessions:
        each.execute("SET search_path = public")
        each.execute("CREATE TYPE shape AS (a int4, b text)")
        each.execute("CREATE DOMAIN share AS numeric")
    source, target = (made(each, f"id int4, value {kind}") for each in sessions)

    assert not piping.portable(sessions[0], source, sessions[1], target)


def test_a_column_that_is_of_another_size_there_goes_as_text(sessions: tuple[Connection, Connection]) -> None:
    source, target = made(sessions[0], "id varchar(10)"), made(sessions[1], "id varchar(20)")

    assert not piping.portable(sessions[0], source, sessions[1], target)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("widths", [[], [0], [3 * piping.BLOCK_BYTES], [1, 2 * piping.BLOCK_BYTES, 0, 10] * 20])
def test_any_number_of_rows_of_any_width_arrives(
    sessions: tuple[Connection, Connection], binary: bool, widths: list[int]
) -> None:
    here, there = sessions
    target = made(there, "body text")
    query = sql.SQL("SELECT repeat('x', width) FROM unnest({}::int[]) width").format(sql.Literal(widths))

    assert piping.pipe(here, query, there, sql.SQL("{}").format(target.sql()), binary=binary) == len(widths)

    found = there.execute("SELECT length(body) FROM public.goods").fetchall()
    assert sorted(row[0] for row in found) == sorted(widths)


def test_an_error_of_either_side_leaves_both_sessions_usable(sessions: tuple[Connection, Connection]) -> None:
    here, there = sessions
    into = sql.SQL("{}").format(made(there, "id int4 PRIMARY KEY").sql())
    for query, error in (
        ("SELECT 1000 / (900 - n) * 0 + n FROM generate_series(1, 100000) n", psycopg.errors.DivisionByZero),
        ("SELECT n % 90000 FROM generate_series(1, 1000000) n", psycopg.errors.UniqueViolation),
    ):
        with pytest.raises(error), there.transaction():
            piping.pipe(here, sql.SQL(query).format(), there, into)  # type: ignore[arg-type]

        assert here.execute("SELECT 1").fetchone() == (1,)
        assert there.execute("SELECT count(*) FROM public.goods").fetchone() == (0,)


def test_notices_of_the_owner_are_no_rows(sessions: tuple[Connection, Connection]) -> None:
    here, there = sessions
    here.execute(
        "CREATE FUNCTION pg_temp.told(n int) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE NOTICE 'row %', n; RETURN n; END $$"
    )
    target = made(there, "id int4")

    query = sql.SQL("SELECT pg_temp.told(n) FROM generate_series(1, 5000) n").format()
    assert piping.pipe(here, query, there, sql.SQL("{}").format(target.sql()), binary=True) == 5000


ROW_FENCES = """
SELECT count(*) FROM pg_trigger
WHERE tgname = 'strangler_replica_fence' AND tgrelid <> 'strangler.drill'::regclass
"""


def test_the_copy_has_no_row_trigger_until_its_rows_are_there(ground: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    pipe = piping.pipe

    def looking(source: Connection, query: sql.Composed, target: Connection, into: sql.Composed, **kind: bool) -> int:
        row = target.execute(ROW_FENCES).fetchone()
        assert row is not None
        seen.add(row[0])
        return pipe(source, query, target, into, **kind)

    monkeypatch.setattr(piping, "pipe", looking)

    ground.start()

    assert seen == {0}
    with ground.service() as connection:
        assert connection.execute(ROW_FENCES.encode()).fetchone() == (len(LEAVES),)
    assert ground.doctor() == []


def test_the_first_error_ends_all_workers() -> None:
    workers = Workers(range(1000))
    done: list[int] = []

    def work(number: int) -> None:
        for item in workers.items():
            if item == 10:
                raise ValueError(number)
            done.append(item)

    with pytest.raises(ValueError, match=r"^[012]$"):
        workers.run(3, work)
    assert set(range(10)) <= set(done)
    assert not list(workers.items())


def test_an_error_of_who_watches_ends_the_workers_at_their_next_item() -> None:
    workers = Workers(range(1000))
    going, seen = threading.Event(), threading.Event()
    done: list[int] = []

    def work(_: int) -> None:
        for item in workers.items():
            assert going.wait(60)
            done.append(item)
        seen.set()

    def watch() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.run(1, work, watch=watch)
    going.set()
    assert seen.wait(60)
    assert done == [0]


@pytest.mark.parametrize("name", ["row_number", "row_count"])
def test_bounds_from_a_sample_cut_every_row_into_one_range(
    sessions: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(reading, "LEAST_PAGES", 10)
    monkeypatch.setattr(reading, "RANGE_PAGES", 1)
    here = sessions[0]
    table = made(here, f"{name} int4, part text, filler text, PRIMARY KEY (part, {name})")
    here.execute(
        "INSERT INTO public.goods SELECT n, (n * 7919 % 100)::text, repeat('x', 100) FROM generate_series(1, 20000) n"
    )
    reader = reading.Reader(here, table, ("part", name, "filler"))

    bounds = reader.bounds(500)

    assert 10 < len(bounds) < 160
    counts = [reader.total(within)[0] for within in reading.Range().cut(bounds)]
    assert sum(counts) == 20_000
    assert max(counts) < 10_000


@pytest.mark.parametrize("pairs", [1, 3])
def test_totals_of_several_ranges_at_once_are_those_of_one_after_the_other(ground: Yard, pairs: int) -> None:
    dsns = [cluster.dsn(name) for cluster, name in zip(ground.clusters, ground.databases, strict=True)]
    with (
        totals.sessions(dsns[0], dsns[1], purpose="test", number=pairs) as more,
        connect(dsns[0], purpose="test") as here,
        connect(dsns[1], purpose="test") as there,
    ):
        tables = [read_tables(each, ["visit"], database="any")[0] for each in (here, there)]
        owner, copy = (reading.Reader(each, table, ("id",)) for each, table in zip((here, there), tables, strict=True))
        parts = [totals.Part(owner, copy, within) for within in reading.Range().cut(owner.starts(reading.Range(), 2))]
        with totals.Totals(more) as together, totals.Totals([]) as alone:
            assert list(together.of(parts)) == list(alone.of(parts))
        assert len(parts) > 3


def test_an_error_of_the_copy_ends_a_proof(ground: Yard) -> None:
    dsns = [cluster.dsn(name) for cluster, name in zip(ground.clusters, ground.databases, strict=True)]
    with ground.service() as connection:
        connection.execute("ALTER TABLE visit RENAME COLUMN took TO taken")
    with (
        totals.sessions(dsns[0], dsns[1], purpose="test", number=2) as more,
        connect(dsns[0], purpose="test") as here,
        connect(dsns[1], purpose="test") as there,
    ):
        table = read_tables(here, ["visit"], database="any")[0]
        with pytest.raises(psycopg.errors.UndefinedColumn):
            hashing.compare(here, there, [(table, table)], catch_up=lambda: None, progress=print, more=more)
