"""A side whose schema `strangler` is gone is told of: no verb takes it for a side without a move."""

from __future__ import annotations

import pytest
from strangler.domain.errors import RefusedError
from yard import Yard

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
