"""Which statements count as ones that may have written: a read that does not plainly read is taken for a write."""

from __future__ import annotations

import pytest
from chassis.database.statements import Statement


def text(query: str):
    """As psycopg has it under way."""

    def _execute_gen(query: str):
        yield

    work = _execute_gen(query)
    work.__name__ = "_execute_gen"
    return work


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a OPERATOR(pg_catalog.=) b FROM t",
        "WITH RECURSIVE tree(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM tree) SELECT count(*) FROM tree",
        "SELECT * FROM unnest(%s, %s) AS pairs(a, b)",
        'SELECT * FROM unnest(%s) AS "Pairs"(a)',
        "SELECT uuid_generate_v4(), jsonb_pretty(j), json_array_elements(k) FROM t",
        "SELECT quote_ident(a), levenshtein(a, b), overlay(a placing b from 1) FROM t FOR UPDATE",
    ],
)
def test_what_plainly_reads_is_a_read(query: str) -> None:
    assert not Statement.of(text(query)).writes


@pytest.mark.parametrize(
    "query",
    [
        "SELECT touch(1)",
        'SELECT "touch"(1)',
        "SELECT shop.touch(1) AS lower",
        "WITH done AS (SELECT touch(1)) SELECT 1",
        "WITH RECURSIVE tree(id) AS (SELECT touch(1)) SELECT id FROM tree",
        "SELECT * FROM touch(1) AS t(a, b)",
    ],
)
def test_what_may_write_is_a_write(query: str) -> None:
    assert Statement.of(text(query)).writes
