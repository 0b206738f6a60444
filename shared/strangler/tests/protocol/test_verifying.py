"""`verify` finds every difference, wherever it is, and mends it while the owner writes."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from servers import Connection, eventually
from strangler.adapters.postgres.copies import hashing, repairing
from strangler.adapters.postgres.copies.reading import Reader
from strangler.adapters.postgres.tables.catalog import read_tables
from strangler.domain.errors import MoveError, RefusedError
from yard import Yard, contents, identifier, refused

DAMAGE = {
    "a changed column": ('UPDATE "Crate" SET weight = 7 WHERE weight = 3.125', "Crate ({3}): differs in weight"),
    "two columns": (
        """UPDATE "Crate" SET seal = NULL, tags = '{NULL}' WHERE weight = 4.125""",
        "Crate ({4}): differs in tags, seal",
    ),
    "a missing row": ("DELETE FROM ticket WHERE id = 7", "ticket (7): missing in the copy"),
    "a missing first row": ("DELETE FROM visit WHERE id = 1", "visit (1): missing in the copy"),
    "an extra row": (
        "INSERT INTO bays.\"Bay slot\" (lane, place) VALUES ('B%s''\"', 999)",
        "bays.Bay slot (B%s'\", 999): only in the copy",
    ),
    "an extra row before the first": (
        'INSERT INTO ticket (id, number, crate) SELECT -5, -5, id FROM "Crate" LIMIT 1',
        "ticket (-5): only in the copy",
    ),
    "an extra row after the last": (
        "INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE VALUES (99, '1 day', 'x')",
        "visit (99): only in the copy",
    ),
    "a changed row of a partition": (
        "UPDATE bays.\"reading 2024\" SET value = -1 WHERE sensor = 0 AND at = '2024-01-27 00:00:00.000012+00'",
        "bays.reading 2024 (0, 2024-01-27 00:00:00.000012+00): differs in value",
    ),
    "a missing row of a partition": (
        "DELETE FROM reading WHERE at = '-infinity'",
        "reading_old (9, -infinity): missing in the copy",
    ),
    "an extra row of a partition": (
        "INSERT INTO reading (sensor, at, value) VALUES (1, '2099-01-01 00:00+00', 0)",
        "reading_rest (1, 2099-01-01 00:00:00+00): only in the copy",
    ),
}


def spoil(connection: Connection, *statements: str) -> None:
    """Writes on a copy in a way that no application can: past its fence, with an origin, so that no stream carries
    it."""
    connection.execute("SELECT pg_replication_origin_create('spoiler')")
    connection.execute("SELECT pg_replication_origin_session_setup('spoiler')")
    connection.execute("SET session_replication_role = replica")
    for statement in statements:
        connection.execute(statement.encode())
    connection.execute("RESET session_replication_role")
    connection.execute("SELECT pg_replication_origin_session_reset(), pg_replication_origin_drop('spoiler')")


@pytest.fixture(params=["whole tables", "many ranges"])
def ranges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many ranges":
        monkeypatch.setattr(hashing, "RANGE_ROWS", 4)


@pytest.mark.usefixtures("ranges")
def test_everything_that_differs_is_named_and_mended(moving: Yard) -> None:
    with moving.service() as connection:
        spoil(connection, *(statement for statement, _ in DAMAGE.values()))

    found = moving.verify()

    assert set(found.differences) == {_with_key(text) for _, text in DAMAGE.values()}
    assert found.differing == len(DAMAGE)
    with pytest.raises(RefusedError, match=f"gate verify: {len(DAMAGE)} rows differed"):
        moving.switch()

    mended = moving.verify(repair=True)

    assert (mended.differing, mended.repaired) == (0, len(DAMAGE))
    with moving.monolith() as here, moving.service() as there:
        assert contents(there) == contents(here)
    moving.switch()
    assert moving.doctor() == []


def _with_key(text: str) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: str(identifier(int(match[1]))), text)


def test_one_range_a_row_sees_every_row_once(moving: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "RANGE_ROWS", 1)

    found = moving.verify()

    assert (found.verified_rows, found.differing) == (152, 0)


def test_a_repair_on_the_monolith_is_not_taken_for_a_deletion(moving: Yard) -> None:
    moving.switch()
    with moving.monolith() as connection:
        spoil(connection, 'UPDATE "Crate" SET weight = 7 WHERE weight = 3.125')

        assert moving.verify(repair=True).differing == 0

        assert connection.execute("SELECT count(*) FROM strangler.orphan").fetchone() == (0,)


def test_a_repair_does_not_travel(moving: Yard) -> None:
    with moving.service() as connection:
        spoil(connection, "DELETE FROM visit", 'UPDATE "Crate" SET weight = 7')
    moving.verify(repair=True)
    moving.catch_up("service")

    with moving.working() as parts:
        assert [stream.errors for stream in parts.replication.streams()] == [0, 0]


def test_values_that_were_exchanged_between_rows_are_told_apart(moving: Yard) -> None:
    with moving.service() as connection:
        spoil(
            connection,
            "UPDATE visit SET took = CASE id WHEN 1 THEN interval '2 mons 2 days 2 secs' ELSE "
            "interval '1 mon 1 day 1 sec' END WHERE id IN (1, 2)",
        )

    assert moving.verify().differing == 2


def test_a_row_that_cannot_be_mended_is_named(moving: Yard) -> None:
    with moving.monolith() as connection:
        for label, weight in (("one", 1.125), ("two", 2.125)):
            connection.execute('UPDATE "Crate" SET "Label" = %s WHERE weight = %s', (label, weight))
    moving.catch_up("monolith")
    with moving.service() as connection:
        spoil(
            connection,
            *(
                f"""UPDATE "Crate" SET "Label" = '{label}' WHERE weight = {weight}"""
                for label, weight in (("none", 1.125), ("one", 2.125), ("two", 1.125))
            ),
        )

    with pytest.raises(MoveError, match="cannot be mended: duplicate key value"):
        moving.verify(repair=True)


RESTLESS = """
DO $$
BEGIN
    LOOP
        UPDATE "Crate" SET weight = weight + 0.001 WHERE number = 5;
        COMMIT;
    END LOOP;
END $$
"""


def test_a_row_that_never_rests_does_not_look_different(moving: Yard) -> None:
    with moving.monolith() as connection, moving.monolith() as watch:
        thread = threading.Thread(target=refused, args=(connection, RESTLESS))
        thread.start()
        before = watch.execute('SELECT weight FROM "Crate" WHERE number = 5').fetchone()
        eventually(lambda: watch.execute('SELECT weight FROM "Crate" WHERE number = 5').fetchone() != before)
        try:
            found = moving.verify()
        finally:
            connection.cancel()
            thread.join()

    assert found.differences == []


def test_a_row_is_mended_while_the_owner_changes_it(moving: Yard) -> None:
    with moving.service() as connection:
        spoil(connection, "UPDATE visit SET code = 'wrong'", "DELETE FROM ticket WHERE id < 10")
    over = threading.Event()

    def change() -> None:
        with moving.monolith() as connection:
            while not over.is_set():
                connection.execute("UPDATE visit SET code = code || '.' WHERE id = 5")
                connection.execute("UPDATE ticket SET number = number + 1 WHERE id = 5")
                connection.execute("DELETE FROM visit WHERE id > 9")
                connection.execute("INSERT INTO visit (took) VALUES ('1 day')")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        mended = moving.verify(repair=True)
    finally:
        over.set()
        thread.join()

    assert mended.differing == 0
    assert mended.repaired >= 9
    assert moving.verify().differing == 0


def test_a_row_that_a_transaction_holds_is_not_waited_for(moving: Yard) -> None:
    with moving.service() as connection:
        spoil(connection, "UPDATE visit SET code = 'wrong' WHERE id = 5")
    with moving.monolith() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE visit SET code = 'held' WHERE id = 5")

        assert moving.verify().differing == 1
        with pytest.raises(MoveError, match=r"visit \(5\): differs in code is locked by a writer"):
            moving.verify(repair=True)


def test_many_missing_rows_are_found_and_mended(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute("INSERT INTO visit (took) SELECT '1 day' FROM generate_series(1, 100)")
    moving.catch_up("monolith")
    with moving.service() as connection:
        spoil(connection, "DELETE FROM visit", "UPDATE reading SET value = 0")

    assert moving.verify(repair=True).differing == 0


HOT = 500
# Changes every row at each turn, and back every other time: equal at rest, but never the same for long.
REWRITING = """
DO $$
BEGIN
    LOOP
        UPDATE visit SET code = CASE code WHEN 'hot' THEN 'cold' ELSE 'hot' END 
        WHERE id >= 1000 AND id <> 1250;
        COMMIT;
        -- No faster than a stream can follow: without a rest the copy would fall behind for ever.
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$
"""
EACH_IN_ANOTHER_ORDER = """
DO $$
DECLARE
    one bigint;
BEGIN
    LOOP
        FOR one IN SELECT 1000 + (random() * 499)::int FROM generate_series(1, 20) LOOP
            UPDATE visit SET code = CASE code WHEN 'hot' THEN 'cold' ELSE 'hot' END 
            WHERE id = one AND id <> 1250;
        END LOOP;
        COMMIT;
        PERFORM pg_sleep(0.02);  -- as above
    END LOOP;
END $$
"""


@contextmanager
def rewritten(made: Yard, statement: str) -> Iterator[None]:
    """An application that does this again and again; none of its statements fails because of others."""
    with made.monolith() as connection:
        ended: list[str | None] = []
        thread = threading.Thread(target=lambda: ended.append(refused(connection, statement)))
        thread.start()
        with made.monolith() as watch:
            version = "SELECT string_agg(xmin::text, ',') FROM visit WHERE id >= 1000"
            before = watch.execute(version).fetchone()
            eventually(lambda: watch.execute(version).fetchone() != before)
        try:
            yield
        finally:
            connection.cancel()
            thread.join()
    assert ended == ["57014"]  # it went on until it was cancelled here


@pytest.fixture
def hot(moving: Yard) -> Yard:
    """Rows that an application will rewrite."""
    with moving.monolith() as connection:
        connection.execute(
            "INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE SELECT 1000 + n, '1 day', 'hot' "
            f"FROM generate_series(0, {HOT - 1}) n"
        )
    moving.catch_up("monolith")
    return moving


@pytest.mark.parametrize("statement", [REWRITING, EACH_IN_ANOTHER_ORDER])
def test_many_rows_that_never_rest_do_not_look_different(hot: Yard, statement: str) -> None:
    with rewritten(hot, statement):
        found = hot.verify()

    assert found.differences == []


@pytest.mark.parametrize("statement", [REWRITING, EACH_IN_ANOTHER_ORDER])
def test_one_that_differs_is_found_among_rows_that_never_rest(hot: Yard, statement: str) -> None:
    # A stream brings whole rows, so only a row that is not written stays different.
    with hot.service() as connection:
        spoil(connection, "UPDATE visit SET took = '2 days' WHERE id = 1250")

    with rewritten(hot, statement):
        found = hot.verify()

    assert found.differences == ["visit (1250): differs in took"]


def test_a_row_that_comes_and_goes_does_not_look_different(moving: Yard) -> None:
    comes_and_goes = """
    DO $$
    BEGIN
        LOOP
            INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE VALUES (1000, '1 day', 'x');
            COMMIT;
            DELETE FROM visit WHERE id = 1000;
            COMMIT;
        END LOOP;
    END $$
    """
    with rewritten(moving, comes_and_goes):
        assert moving.verify().differences == []


def test_many_rows_that_are_only_in_the_copy_are_found(moving: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "FEW_ROWS", 10)
    with moving.service() as connection:
        spoil(
            connection,
            "INSERT INTO visit (id, took, code) OVERRIDING SYSTEM VALUE "
            "SELECT 1000 + n, '1 day', 'x' FROM generate_series(1, 700) n",
        )

    assert moving.verify().differing == 700
    assert moving.verify(repair=True).differing == 0


def test_a_generated_column_that_was_computed_otherwise_is_found(ground: Yard) -> None:
    once = "CREATE FUNCTION once(x text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT x || 'once'$$; "
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute(once.encode())
            connection.execute(
                "ALTER TABLE ticket ADD label text GENERATED ALWAYS AS (once('n' || number::text)) STORED"
            )
    with ground.monolith() as connection:
        # Like a new version of a library: stored values stay as they were computed.
        connection.execute(once.replace("CREATE", "CREATE OR REPLACE").replace("once'", "twice'").encode())
        connection.execute("ALTER TABLE ticket REPLICA IDENTITY DEFAULT")
        connection.execute("UPDATE ticket SET number = number WHERE id = 3")
        connection.execute(once.replace("CREATE", "CREATE OR REPLACE").encode())
    ground.start()

    assert ground.verify().differences == ["ticket (3): differs in label"]


ROWS, WIDE = 1_000, 100_000
MEASURED = """
import resource, sys
from strangler.adapters.postgres.tables import catalog
from strangler.adapters.postgres.copies import hashing
from strangler.adapters.postgres.session.connection import connect
owner, copy = (connect(dsn, purpose="measure") for dsn in sys.argv[1:3])
pair = tuple(catalog.read_tables(one, ["wide"], database="any")[0] for one in (owner, copy))
found = hashing.compare(owner, copy, [pair], catch_up=lambda: None, progress=lambda rows: None)
print(found.differing, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measured(made: Yard) -> tuple[int, int]:
    """How many rows of the table `wide` differ, and how many KiB a process needs to find them."""
    addresses = (cluster.dsn(name) for cluster, name in zip(made.clusters, made.databases, strict=True))
    done = subprocess.run([sys.executable, "-c", MEASURED, *addresses], capture_output=True, text=True, check=True)
    differing, most = done.stdout.split()
    return int(differing), int(most)


def test_a_row_that_differs_among_wide_ones_takes_no_memory(ground: Yard) -> None:
    """All rows of the table would be many times the memory that the process needs without them."""
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute("CREATE TABLE wide (id int PRIMARY KEY, body bytea)")
            connection.execute("ALTER TABLE wide ALTER body SET STORAGE EXTERNAL")
            connection.execute(
                "INSERT INTO wide SELECT n, decode(repeat(md5(n::text), %s / 16), 'hex') FROM generate_series(1, %s) n",
                (WIDE, ROWS),
            )

    assert measured(ground)[0] == 0
    equal = measured(ground)[1]
    with ground.service() as connection:
        connection.execute("UPDATE wide SET body = 'x' WHERE id = 700")

    differing, most = measured(ground)

    assert differing == 1
    assert most < 1.2 * equal


def test_many_rows_that_differ_take_no_memory(ground: Yard) -> None:
    for side in ("monolith", "service"):
        with ground.side(side) as connection:
            connection.execute("CREATE TABLE wide (id bigint PRIMARY KEY)")
    with ground.monolith() as connection:
        connection.execute("INSERT INTO wide SELECT n FROM generate_series(1, 10000) n")
    few = measured(ground)
    with ground.monolith() as connection:
        connection.execute("INSERT INTO wide SELECT n FROM generate_series(10001, 150000) n")

    many = measured(ground)

    assert (few[0], many[0]) == (10_000, 150_000)
    assert many[1] < 1.15 * few[1]


def test_what_stands_in_the_way_of_a_row_goes_though_it_is_found_later(
    moving: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "BATCH_ROWS", 2)
    monkeypatch.setattr(hashing, "FEW_ROWS", 1)
    monkeypatch.setattr(hashing, "KEPT_ROWS", 3)
    with moving.service() as connection:
        # Each row waits until the next has given up its number; the last number is that of a row which is only in the
        # copy.
        spoil(
            connection,
            "UPDATE ticket SET number = -number WHERE id > 3",
            "UPDATE ticket SET number = number + 1 WHERE id <= 3",
            "DELETE FROM ticket WHERE id = 4",
            "INSERT INTO ticket (id, number, crate) SELECT 900, 1, crate FROM ticket LIMIT 1",
        )

    found = moving.verify()
    mended = moving.verify(repair=True)

    assert found.differing == mended.repaired > len(found.differences) == 3
    assert mended.differing == 0


def test_ranges_are_cut_by_bytes_however_old_the_statistics_are(ground: Yard) -> None:
    with ground.monolith() as connection:
        connection.execute("CREATE TABLE wide (id int PRIMARY KEY, body text)")
        insert = "INSERT INTO wide SELECT n, repeat('x', 500) FROM generate_series(%s::int, %s::int) n"
        connection.execute(insert, (1, 100))
        connection.execute("ANALYZE wide")
        connection.execute(insert, (101, 5000))
        table = read_tables(connection, ["wide"], database="yard")[0]

        width = Reader(connection, table, ("id", "body")).bytes_a_row()

    assert 500 < width < 1000
