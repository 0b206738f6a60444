"""Numbers with their noun, as people write them."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 row``, ``2 rows``; ``many`` is the plural that an s does not make."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
