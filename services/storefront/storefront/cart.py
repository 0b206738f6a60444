"""What a visitor wants to buy, and the key under which it is ordered.

Note "one key a content": the key is drawn anew whenever the content changes. So a form that is sent twice, by a double
click or because the answer got lost, asks for the same order, and the interface gives it again. A cart that was ordered
remembers its key and its order: the second of two clicks finds the order, and not an empty cart.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_PRODUCTS = 30
MOST_PIECES = 99


class FullError(Exception):
    """No further product has a place."""


def _new_key() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Cart:
    """``lines`` has the pieces by product, in the order in which they came; ``ordered`` the last key with its order."""

    lines: Mapping[int, int] = field(default_factory=dict)
    key: str = field(default_factory=_new_key)
    ordered: tuple[str, int] | None = None

    @property
    def pieces(self) -> int:
        return sum(self.lines.values())

    def with_more(self, product: int, pieces: int) -> Cart:
        """So many more pieces of the product, up to MOST_PIECES.

        Raises:
            FullError: MOST_PRODUCTS other products are there already.
        """
        return self.with_pieces(product, self.lines.get(product, 0) + pieces)

    def with_pieces(self, product: int, pieces: int) -> Cart:
        """So many pieces of the product and no others; none where ``pieces`` is 0. Raises FullError."""
        lines = dict(self.lines)
        if pieces <= 0:
            lines.pop(product, None)
        else:
            lines[product] = min(pieces, MOST_PIECES)
        if len(lines) > MOST_PRODUCTS:
            raise FullError
        return self if lines == self.lines else Cart(lines, ordered=self.ordered)

    def after_order(self, order: int) -> Cart:
        """Empty: all of it has been ordered."""
        return Cart(ordered=(self.key, order))

    def after_rejection(self) -> Cart:
        """The same under another key: under this one the order stays rejected."""
        return Cart(self.lines, ordered=self.ordered)

    def order_of(self, key: str) -> int | None:
        """The order that was placed under the key, if it was the last."""
        return self.ordered[1] if self.ordered and self.ordered[0] == key else None

    def packed(self) -> dict[str, Any]:
        """As JSON can hold it."""
        ordered = {"o": list(self.ordered)} if self.ordered else {}
        return {"k": self.key, "l": [list(each) for each in self.lines.items()], **ordered}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Cart:
        """What `packed` gave. Raises KeyError, TypeError or ValueError where it is something else."""
        ordered = packed.get("o")
        return cls(
            {int(product): int(pieces) for product, pieces in packed["l"]},
            str(packed["k"]),
            (str(ordered[0]), int(ordered[1])) if ordered else None,
        )
