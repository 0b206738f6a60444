"""The parts of a traffic scenario: clients that do one operation after another.

A scenario is a class named in ``strangler.toml``. It makes *behaviours*: generators that yield an
Operation and are sent the Answer. The engine performs each operation, so that a scenario does no
network itself::

    class Readers:
        def __init__(self, run: str) -> None:
            self.run = run

        def client(self, number: int, rng: Random) -> Behaviour:
            token = f"{self.run}-{number}"
            yield Operation(
                "POST", "/notes", body={"title": token}, expected={201},
                writes=(insert("notes", "note", {"title": token}, {"stars": 0}),),
            )

        def writer(self, capability: str, number: int, rng: Random) -> Behaviour: ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Protocol

Value = str | int | bool | None
Columns = Mapping[str, Value]
Fields = Mapping[str, Value | Sequence[Value]]


class Kind(StrEnum):
    """What a write does to its row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Write:
    """One row that an operation changes, and what must be true of it once it is acknowledged.

    ``key`` finds the row, which belongs to one client. For an insert the key holds a token that no other
    client sends, best in columns without a unique constraint, so that a doubled insert shows as two rows.
    ``values`` are compared as PostgreSQL prints them.
    """

    capability: str
    table: str
    kind: Kind
    key: Columns
    values: Columns = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; only expected answers reach a behaviour. ``cookies`` are those that it sets, by name."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Raises ValueError when the body is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Operation:
    """A request, the statuses that are right for it, and what it writes.

    A write is acknowledged by an expected status below 400, for a page that took a form leads to another one, and
    refused by any other expected one. ``body`` is sent as JSON; ``form`` instead of it as a browser sends a form, with
    several values of a field where it has a list. ``told`` gives the writes whose keys only the answer tells; it is
    called once the request is acknowledged.
    """

    method: str
    path: str
    body: Any = None
    form: Fields | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: Collection[int] = frozenset({200})
    writes: tuple[Write, ...] = ()
    told: Callable[[Answer], Iterable[Write]] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Behaviour = Generator[Operation, Answer, None]


class Unexpected(Exception):  # noqa: N818 - read as `raise Unexpected(...)` in scenarios
    """Raised by a behaviour whose answer had the right status and the wrong content."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """What a drafted scenario leaves to a person; ``place`` is its file and line."""

    question: str
    place: str


def undecided(question: str) -> Any:
    """Stands where a value or a function of the visit has to be written. A rehearsal is refused as long as a module's
    own variable holds one."""
    frame = sys._getframe(1)
    return Undecided(question, f"{frame.f_code.co_filename}:{frame.f_lineno}")


def decided(decision: Any, visit: Any) -> Any:
    """What was written there: a value, or what a function makes of the visit.

    Raises:
        Unexpected: nobody has decided it.
    """
    if isinstance(decision, Undecided):
        raise Unexpected(decision.question)
    return decision(visit) if callable(decision) else decision


class Scenario(Protocol):
    """``run`` is a short word, new in every rehearsal, that keeps tokens of two runs apart."""

    def __init__(self, run: str) -> None: ...

    def client(self, number: int, rng: Random) -> Behaviour:
        """Client ``number``, from its first request to its last; it thinks between two requests."""
        ...

    def writer(self, capability: str, number: int, rng: Random) -> Behaviour:
        """A client without think time. Once it has what it needs, it does nothing but write to
        the capability, without an end."""
        ...


def insert(capability: str, table: str, key: Columns, values: Columns) -> Write:
    return Write(capability, table, Kind.INSERT, key, values)


def update(capability: str, table: str, key: Columns, values: Columns) -> Write:
    return Write(capability, table, Kind.UPDATE, key, values)


def delete(capability: str, table: str, key: Columns) -> Write:
    return Write(capability, table, Kind.DELETE, key)
