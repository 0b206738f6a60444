"""Customers who write all the time, and remember what they were told.

Their writes are held against the database by the engine of a rehearsal, so that both mean the same by lost and doubled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import httpx
from strangler.domain.traffic import Kind, Write
from strangler.rehearsal.checker import check
from strangler.rehearsal.history import gather
from strangler.rehearsal.journal import Attempt, Outcome
from strangler.rehearsal.ports import Found, Text

from tests.faults.customers import NAME, Customer, address
from tests.faults.traffic import Traffic
from tests.waiting import eventually

THINK_SECONDS = 0.01
CAPABILITY = "users"


class Looks:
    """Rows of a database that can be asked by ``execute``, also where only a container reaches it."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def find(
        self, table: str, key: Sequence[str], columns: Sequence[str], values: Sequence[tuple[Text, ...]]
    ) -> Iterator[Found]:
        """By keys of one column, all in one query."""
        (known,) = key
        numbers = {value[0]: number for number, value in enumerate(values)}
        shown = "".join(f", {column}::text AS shown_{column}" for column in columns)
        query = f"SELECT {known}::text AS known{shown} FROM {table} WHERE {known}::text = ANY (%s)"
        for found in self._database.execute(query, [list(numbers)]).fetchall():
            yield Found(numbers[found[0]], dict(zip(columns, found[1:], strict=True)))


@dataclass
class Writer:
    """One customer, and every write in the order in which it was sent."""

    customer: Customer
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.add("POST /api/v1/users", self.renaming(NAME, Kind.INSERT), Outcome.ACKNOWLEDGED)

    def add(self, request: str, write: Write, outcome: Outcome) -> None:
        attempt = Attempt(str(self.customer.id), request, (write,), time.monotonic_ns())
        self.attempts.append(replace(attempt, outcome=outcome))

    def renaming(self, name: str, kind: Kind = Kind.UPDATE) -> Write:
        return Write(CAPABILITY, "users_user", kind, {"id": self.customer.id}, {"full_name": name})

    def write(self, method: str, path: str, expected: int, body: object, write: Write) -> None:
        """Sends it; after any answer but the expected one it is not known whether it was done."""
        answer, failure = None, ""
        try:
            answer = self.customer.client.request(method, path, json=body, headers=self.customer.headers)
        except httpx.HTTPError as error:
            failure = f"{type(error).__name__} {error}"
        if answer is not None and answer.status_code != expected:
            failure = f"{answer.status_code} {answer.text[:200]}"
        if failure:
            self.failures.append(f"{method} {path}: {failure}")
        self.add(f"{method} {path}", write, Outcome.UNKNOWN if failure else Outcome.ACKNOWLEDGED)
        self.acknowledged += not failure


class Writers(Traffic):
    """``with Writers(client_factory) as writers``: each inserts addresses and renames itself until the block ends.

    The block's end waits until each has got through once more, so that a shop that stands still is seen.
    """

    def __init__(self, connect: Callable[[], httpx.Client], count: int = 3) -> None:
        super().__init__()
        self.run = uuid4().hex[:8]
        self._clients = [connect() for _ in range(count)]
        self._writers = [Writer(Customer(client).register()) for client in self._clients]
        self._threads = [threading.Thread(target=self._write, args=(writer,)) for writer in self._writers]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    @property
    def failures(self) -> list[str]:
        return [failure for writer in self._writers for failure in writer.failures]

    def get_through(self) -> None:
        """Waits until each writer has had a write acknowledged that it began after this call."""
        before = [writer.acknowledged for writer in self._writers]
        # One may have been under way already, so two must follow.
        eventually(
            lambda: all(writer.acknowledged >= count + 2 for writer, count in zip(self._writers, before, strict=True)),
            "every writer gets through",
        )

    def check(self, owner: Any) -> None:
        """Every acknowledged write is in the owner's database once, with what was sent; no other is there twice.

        Once a name has been acknowledged, none before it may be found again.
        """
        histories = gather(attempt for writer in self._writers for attempt in writer.attempts)
        found = check(histories, {CAPABILITY: Looks(owner)})
        assert not found, f"{len(found)} rows are not as their writes say, the first: {found[0]}"
        rows = owner.execute("SELECT line1 FROM users_address WHERE line1 LIKE %s", (f"{self.run}-%",)).fetchall()
        sent = {place.values[0] for place in histories if place.table == "users_address"}
        assert {row[0] for row in rows} <= sent, "there are addresses that nobody has sent"

    def _write(self, writer: Writer) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            line = f"{self.run}-{writer.customer.id}-{number}"
            written = Write(CAPABILITY, "users_address", Kind.INSERT, {"line1": line})
            writer.write("POST", "/api/v1/users/me/addresses", 201, address(line), written)
            if number % 3 == 0:
                writer.write("PATCH", "/api/v1/users/me", 200, {"full_name": line}, writer.renaming(line))
            self._over.wait(THINK_SECONDS)
