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
        """Raises HttpError."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A row: which of the keys it was found by, and its columns as text."""

    key: int
    columns: Mapping[str, Text]


class Rows(Protocol):
    """Reads rows of one database."""

    def find(
        self, table: str, key: Sequence[str], columns: Sequence[str], values: Sequence[tuple[Text, ...]]
    ) -> Iterator[Found]:
        """All rows whose ``key`` columns equal one of ``values``, in as few queries as may be."""
        ...


class Damage(Rows, Protocol):
    """Rows that can be spoilt, within :meth:`spoiling` only, after which all is as it was."""

    def spoiling(self) -> AbstractContextManager[None]: ...

    def corrupt(self, table: str, key: Mapping[str, Text], column: str) -> bool:
        """Changes a text column; False when the database does not let it."""
        ...

    def drop(self, table: str, key: Mapping[str, Text]) -> bool: ...

    def double(self, table: str, key: Mapping[str, Text]) -> bool: ...


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
        """Runs ``strangler WORDS --json``; one that takes longer than ``within`` seconds is ended."""
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

    def totals(self) -> Totals: ...

    def wait(self, reached: Callable[[Totals], bool], *, within: float) -> None:
        """Returns as soon as the totals satisfy ``reached``.

        Raises:
            RehearsalError: when ``within`` seconds have passed, or a process of the traffic died.
        """
        ...

    def set_writers(self, capability: str | None) -> None:
        """Lets the writers write to the capability; None parks them."""
        ...

    def end(self) -> Sequence[int]:
        """Lets each client finish its request; returns the processes' exit codes. Safe to call again."""
        ...


class Bounces(Protocol):
    """The gateway's count of requests that it has sent on to the other side so far; None where it cannot be asked."""

    def count(self) -> int | None: ...


class Sides(Protocol):
    """What the databases themselves say of a capability's owner."""

    def rows(self, capability: str) -> Sequence[SideRow]:
        """The monolith's row and the service's, as far as there are any."""
        ...
