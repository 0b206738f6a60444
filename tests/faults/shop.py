"""The shop under test: who owns its users, and whether it is at peace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from tests.faults.customers import Customer
from tests.faults.writers import Writers
from tests.stack import Stack
from tests.waiting import GENEROUS_SECONDS, eventually

MONOLITH, SERVICE = "monolith", "service"
TOWARDS = {"switch": SERVICE, "reverse": MONOLITH}
FROM = {"switch": MONOLITH, "reverse": SERVICE}
OTHER = {MONOLITH: SERVICE, SERVICE: MONOLITH}
DATABASES = {MONOLITH: "monolith", SERVICE: "users"}


@dataclass(frozen=True)
class Move:
    """The ledger's row."""

    state: str
    epoch: int
    owner: str


class Shop:
    """A stack whose users move; ``sessions`` are kept open, one per database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        environment = stack.environment()
        self.gateway: str = environment["gateway"]
        self.envoy_admin: str = environment["envoy_admin"]
        self.product = 0
        self._sessions: dict[str, psycopg.Connection[Any]] = {}

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    def database_of(self, side: str) -> str:
        return DATABASES[side]

    def session(self, side: str) -> psycopg.Connection[Any]:
        """An autocommit session in the side's database, opened anew when its server has been away."""
        present = self._sessions.get(side)
        if present is None or present.closed:
            present = self._sessions[side] = self.stack.database(DATABASES[side])
        return present

    def ask(self, side: str, query: str, *values: object) -> Any:
        """The first column of the first row; None when there is none, or while the server is away."""
        row = self._row(side, query, *values)
        return row[0] if row else None

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.gateway, timeout=60)

    @contextmanager
    def customer(self) -> Iterator[Customer]:
        """One who has just registered."""
        with self.client() as client:
            yield Customer(client).register()

    def writers(self, count: int = 3) -> Writers:
        return Writers(self.client, count)

    def move(self) -> Move | None:
        """The ledger's row; None where there is none, or while its server is away."""
        row = self._row(MONOLITH, "SELECT state, epoch, owner FROM strangler.move WHERE capability = 'users'")
        return Move(*row) if row else None

    def owner(self) -> str:
        move = self.move()
        assert move is not None
        return move.owner

    def is_open(self, side: str) -> bool | None:
        """What the side's row says; None while its server is away."""
        is_open: bool | None = self.ask(side, "SELECT open FROM strangler.side WHERE capability = 'users'")
        return is_open

    def owned_by(self, side: str) -> None:
        """Moves the users there, unless they are there already."""
        if self.owner() != side:
            self.stack.run("switch" if side == SERVICE else "reverse", "users", "--yes")

    def at_rest(self) -> Move:
        """Waits until nothing is under way and the owner alone is open."""

        def resting() -> Move | None:
            move = self.move()
            if move is None or move.state != "moving":
                return None
            opened = [side for side in DATABASES if self.is_open(side)]
            return move if opened == [move.owner] else None

        return eventually(resting, "one owner, and nothing under way")

    def check_peace(self) -> None:
        """The shop goes on, with one owner and equal sides, and the doctor finds nothing."""
        self.at_rest()
        with self.customer() as customer:
            customer.rename("Ada Peace")
            customer.add_address("1 Peace Street")
            assert customer.order(self.some_product())["status"] == "confirmed"
        with ThreadPoolExecutor(1) as pool:
            examined = pool.submit(self.doctor)
            verified = self.stack.json("verify", "users")
            found = examined.result()
        assert verified["differing"] == 0
        assert verified["verified_rows"] > 0
        if found:  # what has just been restarted may still have been connecting
            eventually(lambda: self.doctor() == [], f"the doctor finds nothing any more; before: {found}")

    def doctor(self) -> list[dict[str, str]]:
        """What ``strangler doctor`` finds."""
        output, _ = self.stack.spawn("doctor", "--json").communicate(timeout=GENEROUS_SECONDS)
        found: list[dict[str, str]] = json.loads(output)["findings"]
        return found

    def some_product(self) -> int:
        """One that is in stock."""
        if not self.product:
            self.product = self.ask(MONOLITH, "SELECT id FROM products_product ORDER BY stock DESC, id LIMIT 1")
        return self.product

    def _row(self, side: str, query: str, *values: object) -> tuple[Any, ...] | None:
        try:
            return self.session(side).execute(query.encode(), values or None).fetchone()
        except psycopg.OperationalError:
            lost = self._sessions.pop(side, None)
            if lost is not None:
                lost.close()
            return None
