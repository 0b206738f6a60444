"""The library's side of a move, turned as the tool's coordinator turns it, in a session of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

SIDE_SQL = Path(__file__).resolve().parents[3] / "strangler/src/strangler/adapters/postgres/side.sql"
TABLES = ("public.library_book", "public.books_inbox")


class Side:
    """Open at epoch 1 at first; ``peer`` is the other side's address."""

    def __init__(self, peer: str, *, methods: Sequence[str] = ("GET", "POST")) -> None:
        there = connection.settings_dict
        self._session = psycopg.connect(
            host=there["HOST"],
            port=there["PORT"],
            user=there["USER"],
            password=there["PASSWORD"],
            dbname=there["NAME"],
            autocommit=True,
        )
        self._epoch = 1
        self._install(peer, [{"methods": list(methods), "pattern": "/books.*"}])

    def fence(self) -> None:
        """Closed; who the owner will be is being decided."""
        self._epoch += 1
        self._do("SELECT strangler.close_side('books', %s, %s)", self._epoch - 1, self._epoch)

    def pause(self) -> None:
        """A fence is about to be put up."""
        self._do("UPDATE strangler.side SET pausing = true")

    def hand_over(self) -> None:
        """The other side is the owner."""
        self._do("UPDATE strangler.side SET bounce_to = 'service'")

    def lift(self) -> None:
        """Nothing came of it: open again."""
        self._epoch += 1
        self._do("SELECT strangler.lift_side('books', %s)", self._epoch)

    def arrive(self, pk: int, title: str) -> None:
        """A row comes by the stream, past the fence."""
        with self._session.transaction():
            self._session.execute("SET LOCAL session_replication_role = replica")
            self._do("INSERT INTO library_book (id, title) VALUES (%s, %s)", pk, title)

    def remove(self) -> None:
        """Everything of it, and the sessions that looked at it."""
        self._do("DROP SCHEMA strangler CASCADE")
        self._do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
            connection.connection.info.backend_pid if connection.connection else 0,
        )
        self._session.close()

    def _install(self, peer: str, routes: list[dict[str, Any]]) -> None:
        self._session.execute(SIDE_SQL.read_bytes())
        for name, event, level in (
            ("strangler_fence", "INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
            ("strangler_replica_truncate", "TRUNCATE", "STATEMENT"),
            ("strangler_replica_fence", "INSERT OR UPDATE OR DELETE", "ROW"),
        ):
            for table in TABLES:
                self._do(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {level} "
                    f"EXECUTE FUNCTION strangler.refuse('books', 'write')"
                )
        self._do(
            "INSERT INTO strangler.side (capability, side, epoch, open, peer_url, routes, tables) "
            "VALUES ('books', 'monolith', 1, true, %s, %s, %s)",
            peer,
            json.dumps(routes),
            list(TABLES),
        )
        self._do("SELECT strangler.turn_fences('books', true)")

    def _do(self, statement: str, *values: Any) -> None:
        # In a thread of its own: what a view's own thread commits would be the view's.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._session.execute, statement.encode(), values or None).result(60)
