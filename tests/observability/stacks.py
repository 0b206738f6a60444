"""A stack of a module's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import Stack


@contextmanager
def standing(folder: Path) -> Iterator[Stack]:
    """The shop with sample data, up; afterwards it is down."""
    found = Stack(folder)
    try:
        found.up()
        yield found
    finally:
        try:
            found.down()
        finally:
            found.end_remains()
