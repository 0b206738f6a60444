"""What a span says of a statement: its text without a single value in it.

Note "no value": Django hands values over beside the text, and they are not looked at. A text that was written by hand
may hold values all the same. So all that is quoted like a value, all numbers and all comments are taken out, and of a
text in which a quote does not end only the first word is kept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_CHARACTERS = 10_000  # of a text that is read at all
SHOWN_CHARACTERS = 1_000

_VALUE = re.compile(
    r"""--[^\n]*|/\*.*?\*/                                   # comments
    |\b[eE]'(?:[^'\\]|\\.|'')*'|(?:\b[bBxXnN])?'(?:[^']|'')*'  # text
    |(?<![\w$])\$(\w*)\$.*?\$\1\$
    |"(?:[^"]|"")*"                                          # names, which stay
    |(?<![\w$%.])\d[\w.]*                                    # numbers
    """,
    re.DOTALL | re.VERBOSE,
)
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|TABLE|COPY)\s+(?:ONLY\s+)?("[^"]+"|\w+)(?:\.("[^"]+"|\w+))?', re.IGNORECASE)
# Databases do not agree on what this means in text without an E before it.
_ESCAPED, _ESCAPES = "\\'", re.compile(r"\b[eE]'")
_LOOSE = re.compile(r"'|/\*|(?<![\w$])\$\w*\$")


class Described(NamedTuple):
    """A statement as its span shows it; ``table`` is empty where there is none, ``text`` where it cannot be shown."""

    operation: str
    table: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.operation} {self.table}" if self.table else self.operation


def describe(statement: str) -> Described:
    """See the note "no value"."""
    if len(statement) > LONGEST_CHARACTERS:
        return Described(_first_word(statement[:SHOWN_CHARACTERS]), "", "")
    bare = " ".join(_VALUE.sub(_shown, statement).split())
    if _LOOSE.search(bare) or (_ESCAPED in statement and not _ESCAPES.search(statement)):
        return Described(_first_word(bare), "", "")
    found = _TABLE.search(bare)
    table = (found[2] or found[1]).strip('"') if found else ""
    return Described(_first_word(bare), table, bare[:SHOWN_CHARACTERS])


def _shown(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith(("--", "/*")):
        return " "
    return text if text.startswith('"') else "?"


def _first_word(text: str) -> str:
    word = re.match(r"\s*\(*\s*([A-Za-z]+)", text)
    return word[1].upper() if word else "SQL"
