"""What the application tells about its work while it does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Value = str | int | float | bool | None


class Span(Protocol):
    """A piece of work that has begun."""

    def note(self, **attributes: Value) -> None:
        """Says more of it; None says nothing. Raises nothing."""
        ...


class Tracer(Protocol):
    """Keeps spans, each below the one in which it begins; no other work waits for one, or fails by it."""

    def span(self, name: str, **attributes: Value) -> AbstractContextManager[Span]:
        """A span from here to the end of the block; an exception that leaves the block is recorded, and goes on.

        Raises nothing itself.
        """
        ...


class _Untold(Span):
    def note(self, **attributes: Value) -> None:
        """Does nothing."""


_UNTOLD = _Untold()


class Untraced(Tracer):
    """Where nobody asks for spans."""

    @contextmanager
    def span(self, name: str, **attributes: Value) -> Iterator[Span]:
        """Does nothing."""
        yield _UNTOLD


UNTRACED = Untraced()
