"""Customers who write all the time, and remember what they were told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from tests.faults.customers import NAME, Customer, address
from tests.faults.traffic import Traffic
from tests.waiting import eventually

THINK_SECONDS = 0.01


@dataclass
class Journal:
    """What one writer sent: inserts by their text, and the names it gave itself, in order."""

    customer: Customer
    acknowledged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=lambda: [NAME])
    failures: list[str] = field(default_factory=list)


class Writers(Traffic):
    """``with Writers(client_factory) as writers``: each inserts addresses and renames itself until the block ends.

    The block's end waits until each has got through once more, so that a shop that stands still is seen.
    """

    def __init__(self, connect: Callable[[], httpx.Client], count: int = 3) -> None:
        super().__init__()
        self.run = uuid4().hex[:8]
        self._clients = [connect() for _ in range(count)]
        self.journals = [Journal(Customer(client).register()) for client in self._clients]
        self._threads = [threading.Thread(target=self._write, args=(journal,)) for journal in self.journals]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    @property
    def failures(self) -> list[str]:
        return [failure for journal in self.journals for failure in journal.failures]

    def get_through(self) -> None:
        """Waits until each writer has had a write acknowledged that it began after this call."""
        before = [len(journal.acknowledged) for journal in self.journals]
        # One may have been under way already, so two must follow.
        eventually(
            lambda: all(
                len(journal.acknowledged) >= count + 2 for journal, count in zip(self.journals, before, strict=True)
            ),
            "every writer gets through",
        )

    def check(self, owner: psycopg.Connection[Any]) -> None:
        """Every acknowledged write is in the owner's database once, with what was sent; no other is there twice."""
        rows = owner.execute("SELECT line1 FROM users_address WHERE line1 LIKE %s", (f"{self.run}-%",)).fetchall()
        counts = Counter(row[0] for row in rows)
        for journal in self.journals:
            lost = [line for line in journal.acknowledged if counts[line] == 0]
            assert not lost, f"{len(lost)} acknowledged writes are lost, the first {lost[0]}"
            row = owner.execute("SELECT full_name FROM users_user WHERE id = %s", (journal.customer.id,)).fetchone()
            assert row is not None
            assert row[0] in journal.names, f"{row[0]} has been overwritten since by one of {journal.names}"
        doubled = [line for line, count in counts.items() if count > 1]
        assert not doubled, f"{len(doubled)} writes are there twice, the first {doubled[0]}"
        known = {line for journal in self.journals for line in journal.acknowledged + journal.unknown}
        assert counts.keys() <= known, f"nobody sent {sorted(counts.keys() - known)}"

    def _write(self, journal: Journal) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            line = f"{self.run}-{journal.customer.id}-{number}"
            self._insert(journal, line)
            if number % 3 == 0:
                self._rename(journal, line)
            self._over.wait(THINK_SECONDS)

    def _insert(self, journal: Journal, line: str) -> None:
        if self._ask(journal, "POST", "/api/v1/users/me/addresses", 201, address(line)):
            journal.acknowledged.append(line)
        else:
            journal.unknown.append(line)

    def _rename(self, journal: Journal, name: str) -> None:
        """Once a name has been acknowledged, none before it may be found again."""
        journal.names.append(name)
        if self._ask(journal, "PATCH", "/api/v1/users/me", 200, {"full_name": name}):
            journal.names[:] = [name]

    def _ask(self, journal: Journal, method: str, path: str, expected: int, body: object) -> bool:
        customer = journal.customer
        try:
            answer = customer.client.request(method, path, json=body, headers=customer.headers)
        except httpx.HTTPError as error:
            journal.failures.append(f"{method} {path}: {type(error).__name__} {error}")
            return False
        if answer.status_code != expected:
            journal.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return False
        return True
