"""Looks at both sides all the time, for a moment at which both are open."""

from __future__ import annotations

import threading
from typing import Any

import psycopg

from tests.faults.shop import MONOLITH, SERVICE, Shop

LOOK_SECONDS = 0.002
STATE = "SELECT open, epoch FROM strangler.side WHERE capability = 'users'"


class Watch:
    """``with Watch(shop) as watch``: ``both_open`` are the moments, by the epochs of the two sides."""

    def __init__(self, shop: Shop) -> None:
        self.both_open: list[tuple[int, int]] = []
        self.looks = 0
        self._here = shop.stack.database(shop.database_of(MONOLITH))
        self._there = shop.stack.database(shop.database_of(SERVICE))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._here.close()
        self._there.close()

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            before, there, after = _state(self._here), _state(self._there), _state(self._here)
            # The same before and after, so it was also so when the other side was read.
            if before == after and before[0] and there[0]:
                self.both_open.append((before[1], there[1]))
            self.looks += 1


def _state(session: psycopg.Connection[Any]) -> tuple[bool, int]:
    row = session.execute(STATE).fetchone()
    assert row is not None
    return row
