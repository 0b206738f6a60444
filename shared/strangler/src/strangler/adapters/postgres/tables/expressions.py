"""The meaning of an expression as the catalog prints it, without what depends on where and how it was written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_TOKEN = re.compile(
    r"""E?'(?:[^']|'')*'          # a literal
      | "(?:[^"]|"")*"           # a quoted name
      | [^\W\d][\w$]*            # a name or keyword
      | \d[\w.]*                 # a number
      | ::
      | [-+*/<>=~!@\#%^&|`?:]+   # an operator
      | \S""",
    re.VERBOSE,
)
_NAME = re.compile(r'"(?:[^"]|"")*"|[^\W\d][\w$]*')
_NOW = {"CURRENT_TIMESTAMP", "transaction_timestamp"}
# After a dump and a restore the same check is printed with other casts between string types.
_STRING_TYPES = (("text",), ("character", "varying"))
_BEFORE_SCHEMA = {"::", "FROM", "JOIN", "COLLATE"}


def meaning(expression: str, apart: Collection[str] | None = ()) -> str:
    """A form that is equal for expressions that say the same.

    Schemas, the names of sequences, casts between string types without a length, and needless parentheses are left out:
    two databases may differ in these because of their history, but accept and return the same. A cast of a value that
    is no string matters: ``apart`` are the columns of other types, quoted where they must be; None means all columns.
    """
    pieces = words(expression)
    pieces = list(_without_schemas(pieces))
    if apart is not None:
        pieces = list(_without_string_casts(pieces, apart))
    pieces = _without_parentheses([word for piece in pieces for word in _synonym(piece)])
    return " ".join(pieces)


def words(text: str) -> list[str]:
    """The words and signs of a text of SQL, without the spaces between them."""
    return _TOKEN.findall(text)


def bare(name: str) -> str:
    """A type's name as ``format_type`` prints it, without its schema."""
    return "".join(_without_schemas(re.findall(r'"(?:[^"]|"")*"|[^\W\d][\w$]*|\s+|.', name)))


def _synonym(piece: str) -> list[str]:
    return ["now", "(", ")"] if piece == "CURRENT_TIMESTAMP" else ["now"] if piece in _NOW else [piece]


def _without_schemas(pieces: list[str]) -> Iterator[str]:
    position = 0
    selects = "SELECT" in pieces
    while position < len(pieces):
        piece = pieces[position]
        if pieces[position + 1 : position + 2] == ["."] and _NAME.fullmatch(piece):
            if selects and pieces[position - 1] not in _BEFORE_SCHEMA and pieces[position + 3 : position + 4] != ["("]:
                yield from pieces[position : position + 2]  # says to which of several tables a column belongs
            position += 2
            continue
        if pieces[position + 1 : position + 3] == ["::", "regclass"]:
            piece = "''"
        if piece == "OPERATOR" and pieces[position + 1 : position + 2] == ["("]:
            end = pieces.index(")", position)
            yield pieces[end - 1]
            position = end + 1
            continue
        yield piece
        position += 1


def _without_string_casts(pieces: list[str], apart: Collection[str]) -> Iterator[str]:
    position = 0
    while position < len(pieces):
        if pieces[position] == "::":
            end = _end_of_string_type(pieces, position + 1)
            if end is not None and _is_string(_operand(pieces, position), apart):
                position = end
                continue
        yield pieces[position]
        position += 1


def _operand(pieces: list[str], end: int) -> list[str]:
    """The operand of a cast: one word, or everything between the brackets before it."""
    depth, start = 0, end - 1
    while start > 0:
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(pieces[start], 0)
        if depth <= 0:
            break
        start -= 1
    return pieces[start:end]


def _is_string(operand: list[str], apart: Collection[str]) -> bool:
    casts = [place for place, piece in enumerate(operand) if piece == "::"]
    if any(_end_of_string_type(operand, place + 1) is None for place in casts):
        return False
    return not any(piece in apart for piece in operand)


def _end_of_string_type(pieces: list[str], start: int) -> int | None:
    for words in _STRING_TYPES:
        end = start + len(words)
        if tuple(pieces[start:end]) == words and pieces[end : end + 1] != ["("]:
            return end + 2 if pieces[end : end + 2] == ["[", "]"] else end
    return None


def _without_parentheses(pieces: list[str]) -> list[str]:
    """Removes parentheses around one word, around another pair, around an array, and around the whole text."""
    while True:
        pairs = _pairs(pieces)
        needless = next(
            (
                (start, end)
                for start, end in pairs.items()
                if end == start + 2
                or pairs.get(start + 1) == end - 1
                or (pieces[start + 1 : start + 3] == ["ARRAY", "["] and _closing(pieces, start + 2) == end - 1)
                or (end == len(pieces) - 1 and pieces[:start] in ([], ["CHECK"]))
            ),
            None,
        )
        if needless is None:
            return pieces
        start, end = needless
        pieces = [*pieces[:start], *pieces[start + 1 : end], *pieces[end + 1 :]]


def _pairs(pieces: list[str]) -> dict[int, int]:
    opened: list[int] = []
    pairs = {}
    for position, piece in enumerate(pieces):
        if piece == "(":
            opened.append(position)
        elif piece == ")" and opened:
            pairs[opened.pop()] = position
    return pairs


def _closing(pieces: list[str], start: int) -> int | None:
    depth = 0
    for position in range(start, len(pieces)):
        depth += {"[": 1, "]": -1}.get(pieces[position], 0)
        if depth == 0:
            return position
    return None
