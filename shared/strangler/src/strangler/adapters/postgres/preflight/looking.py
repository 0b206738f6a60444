"""Runs the checks of a preflight one after the other, and keeps what each finds: a person wants to know all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg

from strangler.domain.errors import StranglerError
from strangler.domain.findings import Finding, Looked
from strangler.ports.side import LostError

Check = Callable[[], Iterable[StranglerError | Finding]]


def found_by(check: Callable[..., object], *args: Any, **kwargs: Any) -> Iterator[StranglerError]:
    """The error that ``check`` raises, as a finding."""
    try:
        check(*args, **kwargs)
    except StranglerError as error:
        if isinstance(error, LostError):
            raise
        yield error


class Look:
    """``looked`` grows with each check; ``tell`` is called with the name of each check before it."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        self.looked = Looked()
        self._tell = tell

    def at(self, what: str, check: Check) -> None:
        """Runs one check. An error that it raises ends this check only, and is a finding.

        Raises:
            LostError: a server went away.
            psycopg.Error: the database has refused to be looked at, and nothing found before explains it.
        """
        self._tell(what)
        found = self.looked.findings
        try:
            found += [each.finding() if isinstance(each, StranglerError) else each for each in check()]
        except LostError:
            raise
        except StranglerError as error:
            found.append(error.finding())
        except psycopg.Error as error:
            if not self.looked.errors:
                raise
            self.skip(what, f"the database said: {error.diag.message_primary or error}")
            return
        self.looked.at.append(what)

    def skip(self, what: str, reason: str) -> None:
        """Says what was not looked at."""
        self.looked.not_at.append(f"{what}: {reason}")

    @property
    def clear(self) -> bool:
        """Whether nothing has been found so far that forbids a move."""
        return not self.looked.errors
