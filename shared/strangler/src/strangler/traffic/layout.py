"""Code as text: on one line where it fits there, otherwise with an item on each line."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 118
LONGEST = 120
SHORT = 88  # imports fit into what ruff allows without a setting, for it sorts them by that


@dataclass(frozen=True, slots=True)
class Group:
    """Something in brackets: on one line if it fits there, otherwise with an item on each."""

    opening: str
    items: Sequence[tuple[str, Any]] = ()
    closing: str = ")"

    def flat(self) -> str:
        inside = ", ".join(f"{name}{each.flat() if isinstance(each, Group) else each}" for name, each in self.items)
        if self.opening == "(" and len(self.items) == 1:
            inside += ","
        return f"{self.opening}{inside}{self.closing}"


def group(before: str, value: Any, indent: int, after: str = "") -> Iterator[str]:
    """The value behind ``before``, in as few lines as it takes."""
    line = before + (value.flat() if isinstance(value, Group) else str(value)) + after
    if not isinstance(value, Group) or len(line) <= LONGEST or not value.items:
        yield line
        return
    yield before + value.opening
    for name, each in value.items:
        yield from group(" " * (indent + 4) + name, each, indent + 4, ",")
    yield " " * indent + value.closing + after


def spread(before: str, names: Sequence[str]) -> Iterator[str]:
    line = before + ", ".join(names)
    if len(line) <= SHORT:
        yield line
    else:
        yield f"{before}("
        yield from (f"    {name}," for name in names)
        yield ")"


def wrapped(text: str, before: str) -> Iterable[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=before, subsequent_indent=f"{before}  " if text.startswith("?") else before,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "text"


def quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
