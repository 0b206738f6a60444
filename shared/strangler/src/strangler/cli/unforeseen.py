"""Messages for errors that no part of the tool expected: no traceback, unless somebody asks for one."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Sequence

import psycopg

from strangler.domain.errors import MoveError

DEBUG = "STRANGLER_DEBUG"
_CREDENTIALS = re.compile(r"://[^@/\s]*@|password=('[^']*'|\S+)")
_PLACE = "postgresql://"


class UnforeseenError(MoveError):
    """A database or the machine has refused something that the tool relies on."""

    id = "unforeseen"


def unforeseen(error: Exception, words: Sequence[str] = ()) -> UnforeseenError:
    """The error in a form for people: the command and its place, the server's own words, and what to do.

    ``words`` are those of the command line. Each step of a move is recorded before it acts, so the ledger knows a step
    that was interrupted: recovery finishes or unwinds it.
    """
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    shown = " ".join(["strangler", *(word for word in words if not word.startswith("-"))][:3])
    at = [note for note in getattr(error, "__notes__", ()) if note.startswith(_PLACE)]
    return UnforeseenError(
        _CREDENTIALS.sub("…", _said(error)),
        place=", ".join([*([shown] if words else []), *at[-1:]]),
        remedy="what was broken off is finished or unwound by `strangler serve`, or by the next command: see "
        f"`strangler status`, mend what is said here, run it again. {DEBUG}=1 shows where in the program it came from",
    )


def without_credentials(words: Sequence[str]) -> list[str]:
    """The words of the command line as messages may repeat them: an option may have been given an address."""
    return [_CREDENTIALS.sub(lambda found: "://…@" if found[0].startswith(":") else "…", word) for word in words]


def _said(error: Exception) -> str:
    if not isinstance(error, psycopg.Error):
        return f"{type(error).__name__}: {error}"
    diagnosis = error.diag
    said = diagnosis.message_primary or str(error).strip() or type(error).__name__
    parts = [said, diagnosis.message_detail, diagnosis.message_hint]
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return "the database said: " + "; ".join(part for part in parts if part) + state
