"""One pagination for every list of every service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field, QuerySet
from rest_framework import pagination
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

FARTHEST = 2**31 - 1


class CursorPagination(pagination.CursorPagination):
    """Newest first unless the view sorts otherwise; ``page_size`` up to 200.

    A cursor holds positions of rows and nothing of the process that made it, so a client may get one page from one side
    of a move and the next from the other. A cursor that no row can have gets a 404, like one that cannot be read.
    """

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        ordering = self.get_ordering(request, queryset, view)
        cursor = self.decode_cursor(request)
        if cursor is not None and not _is_possible(cursor, ordering, queryset):
            raise NotFound(self.invalid_cursor_message)
        page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        return page


def _is_possible(cursor: pagination.Cursor, ordering: Sequence[str], queryset: QuerySet[Any]) -> bool:
    if cursor.offset > FARTHEST:
        return False
    if cursor.position is None:
        return True
    try:
        field = queryset.model._meta.get_field(ordering[0].lstrip("-"))
    except FieldDoesNotExist:
        return True  # an annotation: only the database knows what it can be compared with
    return not isinstance(field, Field) or _is_value(field, cursor.position)


def _is_value(field: Field[Any, Any], position: Any) -> bool:
    """Whether the column could hold the position: a number in its range, a date, a text without NUL."""
    try:
        value = field.to_python(position)
        field.run_validators(value)
        if isinstance(value, datetime) and value.tzinfo:
            value.astimezone(UTC)  # the database's calendar ends in UTC too
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return False
    return "\x00" not in str(position)
