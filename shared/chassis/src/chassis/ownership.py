"""Which capabilities this database may write now, as the row in ``strangler.side`` says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

REFUSED = "SF001"  # SQLSTATE of a write that met the fence

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class SideState:
    """One capability as this database sees it.

    While it is closed, ``bounce_to`` names the side that has it; None means that this is being decided.
    """

    capability: str
    side: str
    epoch: int
    open: bool
    bounce_to: str | None
    peer_url: str
    routes: str
    tables: tuple[str, ...]
    pausing: bool = False

    @property
    def writable(self) -> bool:
        """Whether a write may begin now."""
        return self.open and not self.pausing

    def concerns(self, method: str, path: str) -> bool:
        """Whether a request with this method and path belongs to the capability."""
        return any(
            pattern.fullmatch(path) and (not methods or method in methods) for methods, pattern in _routes(self.routes)
        )

    def holds(self, table: str) -> bool:
        """Whether the table is one of the capability's."""
        return table in self.tables


_present: set[str] = set()


def sides(using: str = DEFAULT_DB_ALIAS) -> Mapping[str, SideState]:
    """Every capability that has a side here; empty where no move has ever begun.

    One query. Does not disturb a transaction that is open.
    """
    with connections[using].cursor() as cursor:
        if using not in _present:
            # A missing table would end the caller's transaction, so it is looked up until it is there.
            cursor.execute("SELECT to_regclass('strangler.side') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return {}
            _present.add(using)
        cursor.execute(
            "SELECT capability, side, epoch, open, bounce_to, coalesce(peer_url, ''), routes::text, tables, pausing "
            "FROM strangler.side"
        )
        return {state.capability: state for state in map(_state, cursor.fetchall())}


def is_open(capability: str, using: str = DEFAULT_DB_ALIAS) -> bool:
    """True when no move concerns the capability, or this side owns it."""
    state = sides(using).get(capability)
    return state is None or state.open


def closed_by_table(table: str, using: str = DEFAULT_DB_ALIAS) -> SideState | None:
    """The state of the capability that the table belongs to, where another side owns it."""
    for state in sides(using).values():
        if not state.open and state.holds(table):
            return state
    return None


def refused_capability(error: BaseException | None) -> str | None:
    """The capability whose fence raised ``error``, looking through what wraps it; None for any other error."""
    while error is not None:
        diagnosis: Any = getattr(error, "diag", None)
        if diagnosis is not None and diagnosis.sqlstate == REFUSED:
            return str(diagnosis.message_detail)
        error = error.__cause__
    return None


def _state(row: tuple[Any, ...]) -> SideState:
    capability, side, epoch, opened, bounce_to, peer_url, routes, tables, pausing = row
    return SideState(capability, side, epoch, opened, bounce_to, peer_url, routes, _plain_names(tables), pausing)


def _plain_names(tables: Iterable[str]) -> tuple[str, ...]:
    # 'public.t' is what Django calls 't'; quoting only stands where a name needs it.
    return tuple(table.replace('"', "").removeprefix("public.") for table in tables)


@lru_cache(maxsize=64)
def _routes(text: str) -> tuple[tuple[frozenset[str], re.Pattern[str]], ...]:
    return tuple((frozenset(route["methods"]), re.compile(route["pattern"])) for route in json.loads(text))
