"""Sides of moves in the shop's database, turned as the tool's coordinator turns them, in a session of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from chassis.ownership import owners
from django.db import connection

SIDE_SQL = Path(__file__).resolve().parents[3] / "shared/strangler/src/strangler/adapters/postgres/side.sql"
FENCES = (
    ("strangler_fence", "INSERT OR UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
    ("strangler_replica_truncate", "TRUNCATE", "STATEMENT"),
    ("strangler_replica_fence", "INSERT OR UPDATE OR DELETE", "ROW"),
)


class Sides:
    """Every capability that has begun to move is open here at epoch 1."""

    def __init__(self) -> None:
        there = connection.settings_dict
        self._session = psycopg.connect(
            host=there["HOST"],
            port=there["PORT"],
            user=there["USER"],
            password=there["PASSWORD"],
            dbname=there["NAME"],
            autocommit=True,
        )
        self._session.execute(SIDE_SQL.read_bytes())
        self._epochs: dict[str, int] = {}

    def begin(self, capability: str, *, routes: list[dict[str, Any]], peer: str = "") -> None:
        """All tables of the capability's app move."""
        named = (
            "SELECT array_agg('public.' || tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE %s"
        )
        (tables,) = self._session.execute(named, (f"{capability}\\_%",)).fetchone()
        for table in tables:
            for name, event, level in FENCES:
                self._do(
                    f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {level} "
                    f"EXECUTE FUNCTION strangler.refuse('{capability}', 'write')"
                )
        self._do(
            "INSERT INTO strangler.side (capability, side, epoch, open, peer_url, routes, tables) "
            "VALUES (%s, 'monolith', 1, true, %s, %s, %s)",
            capability,
            peer,
            json.dumps(routes),
            tables,
        )
        self._do("SELECT strangler.turn_fences(%s, true)", capability)
        self._epochs[capability] = 1

    def hand_over(self, capability: str) -> None:
        """The service is the owner."""
        epoch = self._epochs[capability]
        self._epochs[capability] = epoch + 1
        self._do("SELECT strangler.close_side(%s, %s, %s)", capability, epoch, epoch + 1)
        self._do("UPDATE strangler.side SET bounce_to = 'service' WHERE capability = %s", capability)

    def take_back(self, capability: str) -> None:
        """The monolith is the owner again."""
        self._epochs[capability] += 1
        self._do("SELECT strangler.lift_side(%s, %s)", capability, self._epochs[capability])

    def remove(self) -> None:
        """Everything of it, and the sessions that looked at it."""
        self._do("DROP SCHEMA strangler CASCADE")
        self._do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), %s)",
            connection.connection.info.backend_pid if connection.connection else 0,
        )
        self._session.close()
        owners._present.clear()

    def _do(self, statement: str, *values: Any) -> None:
        # In a thread of its own: what a view's own thread commits would be the view's.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._session.execute, statement.encode(), values or None).result(60)
