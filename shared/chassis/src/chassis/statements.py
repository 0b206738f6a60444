"""What a piece of psycopg's work does to a transaction, read from the work itself before it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from psycopg import Transaction
from psycopg.sql import Composable

_OPENING = re.compile(rb"(?:\s|\(|/\*.*?\*/|--[^\n]*\n)*([A-Za-z]*)", re.DOTALL)
_READS = frozenset(
    b"SELECT SHOW SET RESET BEGIN START SAVEPOINT RELEASE ROLLBACK ABORT COMMIT END FETCH MOVE CLOSE DECLARE "
    b"LISTEN UNLISTEN DEALLOCATE DISCARD EXPLAIN LOCK VALUES TABLE".split()
)
_COMMITS = frozenset({b"COMMIT", b"END"})
_ROLLS_BACK = frozenset({b"ROLLBACK", b"ABORT"})


@dataclass(frozen=True, slots=True)
class Statement:
    """``writes`` may be true of what writes nothing, never the other way round, but for functions that are selected.

    ``has_to_run``: the work keeps books of psycopg's, and must be run though its COMMIT is not wanted.
    """

    writes: bool = False
    commits: bool = False
    rolls_back: bool = False
    has_to_run: bool = False

    @classmethod
    def of(cls, work: Any) -> Statement:
        """Of what ``Connection.wait`` is given; nothing is known of work that psycopg does in C."""
        name, frame = getattr(work, "__name__", ""), getattr(work, "gi_frame", None)
        if name == "_commit_gen":
            return _COMMIT
        if name == "_rollback_gen":
            return _ROLLBACK
        if frame is None:
            return _NOTHING
        values = frame.f_locals
        if name == "_exit_gen":
            return _end_of_block(values)
        text = values.get("query", values.get("statement"))
        return _NOTHING if text is None else _of_text(text)


_NOTHING = Statement()
_COMMIT = Statement(commits=True)
_ROLLBACK = Statement(rolls_back=True)


def _end_of_block(values: Any) -> Statement:
    block = values.get("self")
    if not isinstance(block, Transaction) or not getattr(block, "_outer_transaction", not block.savepoint_name):
        return _NOTHING
    if values.get("exc_val") is not None or block.force_rollback:
        return _ROLLBACK
    return Statement(commits=True, has_to_run=True)


def _of_text(text: Any) -> Statement:
    if isinstance(text, Composable):
        text = text.as_bytes(None)
    if isinstance(text, str):
        text = text.encode(errors="replace")
    if not isinstance(text, bytes):
        return Statement(writes=True)
    found = _OPENING.match(text)
    word = found[1].upper() if found else b""
    if b";" in text.rstrip(b"; \n\t\r"):
        return Statement(writes=True)  # several at once
    partly = word in _ROLLS_BACK and re.search(rb"\bTO\b", text, re.IGNORECASE) is not None
    return Statement(
        writes=word not in _READS,
        commits=word in _COMMITS or (word == b"PREPARE" and b" TRANSACTION" in text.upper()),
        rolls_back=word in _ROLLS_BACK and not partly,
    )
