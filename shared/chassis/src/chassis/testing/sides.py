"""A side of a move in a test's database: the tool's own tables, functions and fences, changed as its coordinator
changes them.

::

    @pytest.mark.django_db(transaction=True)
    def test_a_parcel_that_meets_the_fence_is_sent_on(client):
        with Side("parcels", tables=["public.parcels_parcel"], routes=[("", "/api/parcels.*")]) as side:
            side.fence()
            side.hand_over()
            assert client.post("/api/parcels", …).status_code == 307

Tests that use it commit, as views do. There may be several sides at a time, each of another capability.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any, Literal, Self

from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from chassis.ownership import owners
from chassis.testing.sessions import another_session

SCRIPTS = ("side", "fence")
NOBODY = "http://127.0.0.1:1"
WAIT_SECONDS = 60.0
PEERS = {"monolith": "service", "service": "monolith"}


class Side:
    """A side of ``capability``, open at epoch 1 at first; it has this project's part, the monolith's or the service's.

    ``tables`` are named with their schemas, and have fences from now on. ``routes`` are pairs of methods ("GET,POST",
    or "" for all) and a regular expression for the whole path. ``peer`` is the other side's address.
    """

    def __init__(
        self,
        capability: str,
        *,
        tables: Sequence[str],
        routes: Iterable[tuple[str, str]] = (),
        side: Literal["monolith", "service"] = "monolith",
        peer: str = NOBODY,
    ) -> None:
        self.capability = capability
        self.epoch = 1
        self._tables, self._peer_side = list(tables), PEERS[side]
        self._session = another_session(autocommit=True)
        for name in SCRIPTS:
            self._session.execute(script(name))
        written = [{"methods": methods.split(",") if methods else [], "pattern": path} for methods, path in routes]
        self.execute(
            "INSERT INTO strangler.side (capability, side, epoch, open, peer_url, routes, tables) "
            "VALUES (%s, %s, 1, true, %s, %s, %s)",
            *(capability, side, peer, json.dumps(written), self._tables),
        )
        for table in self._tables:
            self.execute("SELECT strangler.raise_fence(%s, %s::pg_catalog.regclass)", capability, table)
        self.execute("SELECT strangler.turn_fences(%s, true)", capability)
        owners.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def pause(self) -> None:
        """A fence is about to be put up: new writes wait before they begin."""
        self.execute("UPDATE strangler.side SET pausing = true WHERE capability = %s", self.capability)

    def fence(self) -> None:
        """The side is closed, and the owner is not decided: writes are held."""
        self.execute("SELECT strangler.close_side(%s, %s, %s)", self.capability, self.epoch, self.epoch + 1)
        self.epoch += 1

    def hand_over(self) -> None:
        """The other side is the owner: requests are led there. A side that is still open is fenced first."""
        if self._value("SELECT open FROM strangler.side WHERE capability = %s", self.capability):
            self.fence()
        self.execute("UPDATE strangler.side SET bounce_to = %s WHERE capability = %s", self._peer_side, self.capability)

    def share_reads(self, *, max_lag: float = 5.0, wait: float = 0.1, trusting: bool = False) -> None:
        """Both sides answer reads, in the present epoch; the copy by heartbeats, which arrive as markers."""
        terms = {"epoch": self.epoch, "max_lag": max_lag, "wait": wait, "trusting": trusting}
        self.execute("UPDATE strangler.side SET reads = %s WHERE capability = %s", json.dumps(terms), self.capability)

    def reopen(self) -> None:
        """This side is the owner again, or still."""
        self.epoch += 1
        self.execute("SELECT strangler.lift_side(%s, %s)", self.capability, self.epoch)

    def arrive(self, statement: str, *values: Any) -> None:
        """A change of the other side arrives by the stream, past the fences and triggers of a closed side."""

        def write() -> None:
            with self._session.transaction():
                self._session.execute("SET LOCAL session_replication_role = replica")
                self._session.execute(statement.encode(), values or None)

        self._elsewhere(write)

    def execute(self, statement: str, *values: Any) -> None:
        """Runs a statement of another session, committed at once."""
        self._elsewhere(lambda: self._session.execute(statement.encode(), values or None))

    def remove(self) -> None:
        """Takes the side away; with the last side also the whole schema, and the sessions that have looked at it."""
        self.execute(
            "SELECT strangler.remove_side(%s, array_agg(t::pg_catalog.regclass::oid)) FROM unnest(%s::text[]) t",
            *(self.capability, self._tables),
        )
        if not self._value("SELECT EXISTS (SELECT FROM strangler.side)"):
            self.execute("DROP SCHEMA strangler CASCADE")
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
                connection.connection.info.backend_pid if connection.connection else 0,
            )
        self._session.close()
        owners.forget()

    def _value(self, statement: str, *values: Any) -> Any:
        row = self._session.execute(statement.encode(), values or None).fetchone()
        return row[0] if row else None

    @staticmethod
    def _elsewhere(act: Callable[[], object]) -> None:
        # In a thread of its own: a commit in a view's own thread would count as the view's.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(act).result(WAIT_SECONDS)


def script(name: str) -> bytes:
    """A script of the tool, so that a test meets what a move would make."""
    try:
        return (files("strangler.adapters.postgres") / f"{name}.sql").read_bytes()
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            "chassis.testing.sides makes sides by the tool's own SQL: install strangler where the tests run"
        ) from error
