"""Who sweeps before the first move has the right to see the queue, and no more."""

from __future__ import annotations

import pytest
from chassis.references import sweeping
from django.db import ProgrammingError, connection

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


@pytest.fixture
def as_clerk():
    """The queue as the tool has made it before any `start`, seen by a role that was given nothing yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE SCHEMA IF NOT EXISTS strangler; CREATE TABLE strangler.orphan (id bigint, capability text,"
            " table_name text, key text, retry_at timestamptz DEFAULT now());"
            " CREATE ROLE chassis_clerk; GRANT USAGE ON SCHEMA strangler TO PUBLIC;"
            " GRANT SELECT ON strangler.orphan TO PUBLIC; SET LOCAL ROLE chassis_clerk"
        )
        yield cursor


@pytest.mark.usefixtures("as_clerk")
def test_where_nothing_can_have_been_queued_it_is_no_error_to_have_no_right():
    assert sweeping.sweep() == 0


def test_what_is_queued_and_may_not_be_swept_is_an_error(as_clerk):
    as_clerk.execute(
        "RESET ROLE; INSERT INTO strangler.orphan VALUES (1, 'shelf', 'book', '1'); SET ROLE chassis_clerk"
    )

    with pytest.raises(ProgrammingError, match="permission denied"):
        sweeping.sweep()
