"""The library's side of a move."""

from __future__ import annotations

from chassis.testing import sides

TABLES = ("public.library_book", "public.books_inbox")
SIDE_SQL = sides.script("side")


class Side(sides.Side):
    """Of its books; ``peer`` is the other side's address."""

    def __init__(self, peer: str, *, methods: str = "GET,POST") -> None:
        super().__init__("books", tables=TABLES, routes=[(methods, "/books.*")], peer=peer)
