"""Cursors through a catalogue in which thousands of products share a price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chassis.rest import pagination
from django.db.models import QuerySet
from rest_framework.request import Request


class CatalogueCursor(pagination.CursorPagination):
    """Sorts as asked, then by id, so that equal products keep their places."""

    # REST framework counts only a thousand equal positions, and would then serve the same page for ever.
    offset_cutoff = None

    def get_ordering(self, request: Request, queryset: QuerySet, view: Any) -> Sequence[str]:
        ordering = tuple(super().get_ordering(request, queryset, view))
        if ordering[0].lstrip("-") == "id":
            return ordering[:1]
        return (*ordering, "-id" if ordering[0].startswith("-") else "id")
