"""Rows that a move brings are written by migrations only where there is no move."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.database.migrating import RowsUnlessMoved
from django.db import connection, migrations
from django.db.migrations.state import ProjectState


@pytest.mark.django_db
@pytest.mark.parametrize("is_open", [True, False])
def test_rows_are_written_and_taken_back_only_where_no_move_brings_them(settings: Any, is_open: bool) -> None:
    settings.CHASSIS_OPEN_WITHOUT_MOVE = is_open
    state, rows = ProjectState(), "SELECT count(*) FROM reason"
    operation = RowsUnlessMoved([migrations.RunSQL("INSERT INTO reason VALUES (1)", "DELETE FROM reason")])

    with connection.schema_editor() as editor, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE reason (id int) ON COMMIT DROP")
        operation.database_forwards("loans", editor, state, state)
        cursor.execute(rows)
        assert cursor.fetchone() == (int(is_open),)

        settings.CHASSIS_OPEN_WITHOUT_MOVE = not is_open
        operation.database_backwards("loans", editor, state, state)
        cursor.execute(rows)
        assert cursor.fetchone() == (int(is_open),)
    assert operation.reversible


def test_it_says_what_it_would_do() -> None:
    operation = RowsUnlessMoved([migrations.RunPython(migrations.RunPython.noop)])

    assert operation.describe() == "Rows, unless a move brings them: Raw Python operation"
