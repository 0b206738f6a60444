"""A side whose schema `strangler` is gone is told of: no verb takes it for a side without a move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import eventually
from strangler.adapters.postgres.examination import PostgresExamination
from strangler.domain.errors import RefusedError
from yard import WAITING, Yard

GONE = "DROP SCHEMA strangler CASCADE"
FORGOTTEN = "DELETE FROM strangler.side"


@pytest.mark.parametrize(("owner", "statement"), [("monolith", GONE), ("service", GONE), ("service", FORGOTTEN)])
def test_no_verb_is_green_for_a_side_that_nothing_is_known_of(moving: Yard, owner: str, statement: str) -> None:
    if owner == "service":
        moving.switch()
    with moving.service() as connection:
        connection.execute(statement.encode())

    found = [finding for finding in moving.doctor() if finding.id == "standing"]
    with pytest.raises(RefusedError) as refused:
        moving.verify()

    assert "nothing here says who owns crates" in found[0].message
    assert "strangler cancel crates" in found[0].hint
    assert "nothing here says who owns crates" in refused.value.message


def test_a_service_whose_tables_are_gone_too(moving: Yard) -> None:
    with moving.service() as connection:
        connection.execute(GONE.encode())
        connection.execute(b"DROP SCHEMA public CASCADE")

    found = [finding.id for finding in moving.doctor()]
    with moving.service() as connection:
        connection.execute(b"CREATE SCHEMA public")

    assert found == ["standing", "drift"]


def test_the_remedy_for_a_sequence_behind_is_the_statement_that_mends_it(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute(b'INSERT INTO ticket (id, number, crate) SELECT 900, 6, id FROM "Crate" LIMIT 1')
        (finding,) = [finding for finding in moving.doctor() if finding.id == "sequence"]
        where, _, statement = finding.hint.partition(": ")

        connection.execute(statement.encode())

    assert where == "run in the monolith's database"
    assert moving.doctor() == []


def test_the_remedy_for_a_sequence_behind_turns_nothing_back_that_went_on_meanwhile(moving: Yard) -> None:
    with moving.monolith() as connection:
        connection.execute(b'INSERT INTO ticket (id, number, crate) SELECT 900, 6, id FROM "Crate" LIMIT 1')
        (finding,) = [finding for finding in moving.doctor() if finding.id == "sequence"]
        connection.execute(b"SELECT setval('ticket_id_seq', 2000)")

        connection.execute(finding.hint.partition(": ")[2].encode())
        row = connection.execute(b"SELECT nextval('ticket_id_seq')").fetchone()

    assert row == (2001,)


def test_rows_that_come_while_doctor_looks_are_no_sequence_behind(moving: Yard) -> None:
    examination = PostgresExamination(moving.project, moving.endpoints.databases)
    with moving.monolith() as connection, ThreadPoolExecutor() as threads:
        try:
            with connection.transaction():
                connection.execute(b"LOCK TABLE ticket IN ACCESS EXCLUSIVE MODE")
                behind = threads.submit(examination.sequences_behind, "crates", "monolith")
                # It has read how far the sequence is, and waits to read the rows.
                eventually(lambda: connection.execute(WAITING.encode()).fetchone())
                connection.execute(b'INSERT INTO ticket (number, crate) SELECT 7, id FROM "Crate" LIMIT 1')
            found = behind.result()
        finally:
            examination.close()

    assert found == []
