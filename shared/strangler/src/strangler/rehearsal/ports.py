"""What a rehearsal asks of the outside: HTTP, rows, the tool's verbs, traffic and the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from strangler.domain.move import SideRow
from strangler.domain.traffic import Answer, Operation

Text = str | None


class HttpError(Exception):
    """No answer: the connection failed, or the time was up."""


class Http(Protocol):
    """One client's connection; it neither retries nor follows redirects."""

    def send(self, operation: Operation) -> Answer:
        """Sends one request and returns its answer, whatever its status. After an error it may be called again.

        Raises:
            HttpError: there is no answer; the request may have been carried out.
        """
        ...

    def close(self) -> None:
        """Ends the connection. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A row: the key by which it was found, and its columns as text."""

    key: int
    columns: Mapping[str, Text]


class Rows(Protocol):
    """Reads rows of one database."""

    def find(
        self, table: str, key: Sequence[str], columns: Sequence[str], values: Sequence[tuple[Text, ...]]
    ) -> Iterator[Found]:
        """All rows whose ``key`` columns equal one of ``values``, in as few queries as may be.

        Raises:
            ConfigurationError: the table has no such column.
        """
        ...


class Damage(Rows, Protocol):
    """Rows that can be spoilt, but only within :meth:`spoiling`; afterwards all is as it was."""

    def spoiling(self) -> AbstractContextManager[None]:
        """All damage done while the context is open is undone at its end, and no other session sees it."""
        ...

    def corrupt(self, table: str, key: Mapping[str, Text], column: str) -> bool:
        """Changes a column of the row with this key. True: exactly one row has changed.

        False: the column is no text, the database does not allow it, or there is not exactly one such row.
        """
        ...

    def drop(self, table: str, key: Mapping[str, Text]) -> bool:
        """Deletes the row with this key. True: exactly one is gone.

        False: the database does not allow it, or there is not exactly one such row.
        """
        ...

    def double(self, table: str, key: Mapping[str, Text]) -> bool:
        """Adds a row that differs from the row with this key only in its primary key. True: there is one more row.

        False: the database does not allow it, no other primary key is known for it, or there is not exactly one such
        row.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished verb: its ``--json`` answer (empty if none), and the monotonic nanoseconds of its run."""

    code: int
    answer: Mapping[str, Any]
    errors: str
    began: int
    ended: int


class Verbs(Protocol):
    """The tool's own command line."""

    def run(self, *words: str, within: float) -> Ran:
        """Runs ``strangler WORDS --json``, and raises nothing when the verb fails: its exit code tells.

        A verb that takes longer than ``within`` seconds is ended, with the code 124; what it has done stays done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Totals:
    """What all clients have done so far; ``writers`` counts each writer's acknowledged writes."""

    requests: int = 0
    failed: int = 0
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    writers: Mapping[str, int] = field(default_factory=dict)


class Traffic(Protocol):
    """The scenario's clients, at work in processes of their own."""

    def totals(self) -> Totals:
        """The totals that the processes have reported so far; also after `end`."""
        ...

    def wait(self, reached: Callable[[Totals], bool], *, within: float) -> None:
        """Returns as soon as the totals satisfy ``reached``.

        Raises:
            RehearsalError: ``within`` seconds have passed, or some seconds without any answer, or a process of the
                traffic has died.
        """
        ...

    def set_writers(self, capability: str | None) -> None:
        """Lets the writers write to the capability from their next request on; None parks them.

        Raises:
            RehearsalError: a process of the traffic died.
        """
        ...

    def end(self) -> Sequence[int]:
        """Lets each client finish its request; returns the processes' exit codes. May be called twice."""
        ...


class Bounces(Protocol):
    """The gateway's count of requests that it has sent on to the other side."""

    def count(self) -> int | None:
        """How many requests since the gateway began. None: nobody can ask this gateway.

        Raises:
            StackError: the gateway does not answer.
        """
        ...


class Floors(Protocol):
    """The least that a pause can last on these servers."""

    def measure(self, capability: str) -> float | None:
        """Milliseconds for what no pause can do without: one lock of all tables, one marker's journey through the
        stream, and two synchronous commits, one on each side. The median of several, under the traffic of now.

        It holds writers up as briefly as it can, and changes no row of theirs. None: it could not be measured.
        """
        ...


class Sides(Protocol):
    """What the databases themselves say of a capability's owner."""

    def rows(self, capability: str) -> Sequence[SideRow]:
        """The monolith's row and the service's, if they exist.

        Raises:
            LostError: a server cannot be reached.
        """
        ...
