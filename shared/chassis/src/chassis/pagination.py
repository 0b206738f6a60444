"""One pagination for every list of every service."""

from __future__ import annotations

from rest_framework import pagination


class CursorPagination(pagination.CursorPagination):
    """Newest first unless the view sorts otherwise; ``page_size`` up to 200.

    A cursor holds positions of rows and nothing of the process that made it, so a page begun on one
    side of a move goes on at the other.
    """

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
