"""Operations of migrations which write rows that a move brings."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.state import ProjectState

from chassis import settings


class RowsUnlessMoved(SeparateDatabaseAndState):
    """Runs its operations on rows only where no move fills the tables: where ``CHASSIS_OPEN_WITHOUT_MOVE`` is True, as
    in tests, or in a service that never had a monolith. Elsewhere the rows come with the others, and a table that has
    some already cannot be filled by a move."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if settings.open_without_move():
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if settings.open_without_move():
            super().database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> Any:
        return f"Rows, unless a move brings them: {', '.join(one.describe() for one in self.database_operations)}"
