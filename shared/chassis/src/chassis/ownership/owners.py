"""Which capabilities this database may write now, as the rows of ``strangler.side`` say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from chassis import agreement, settings


@dataclass(frozen=True, slots=True)
class Shared:
    """The terms on which a copy answers reads, as the tool has written them for one ``epoch``.

    ``max_lag``: the age in seconds at which a copy is too old for anybody. ``wait``: the seconds for which a read waits
    for a position. ``trusting``: a client who may have lost a position is answered by the copy, too.
    """

    epoch: int
    max_lag: float
    wait: float
    trusting: bool


@dataclass(frozen=True, slots=True)
class SideState:
    """One capability as this database sees it.

    While it is closed, ``bounce_to`` names the side that has it; None means that the owner is being decided.
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
    reads: str = "{}"

    @property
    def writable(self) -> bool:
        """Whether a write may begin now."""
        return self.open and not self.pausing

    def concerns(self, method: str, path: str) -> bool:
        """Whether a request with this method and path belongs to the capability."""
        return any(
            pattern.fullmatch(path) and (not methods or method in methods) for methods, pattern in _routes(self.routes)
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether the other side has it, and that is decided."""
        return not self.open and self.bounce_to not in (None, self.side)

    @property
    def shared(self) -> Shared | None:
        """How both sides share the reads; None while the owner answers them all."""
        return _shared(self.reads)

    def holds(self, table: str) -> bool:
        """Whether the table is one of the capability's."""
        return table.replace('"', "") in self.tables


NOTED_EVERY_SECONDS = 1.0
RECENT_SECONDS = 1.0
_present: set[str] = set()
_recent: dict[str, tuple[float, Mapping[str, SideState]]] = {}
_noted: dict[tuple[str, str], float] = {}


def sides(using: str = DEFAULT_DB_ALIAS) -> Mapping[str, SideState]:
    """By capability, every side that is here; empty where no move has ever begun.

    One query. Does not disturb a transaction that is open.
    """
    if not _may_have(using):
        return {}
    with connections[using].cursor() as cursor:
        return _read(cursor, using)


def _may_have(using: str) -> bool:
    """A move is of PostgreSQL: a test that runs on another database has no sides."""
    return connections[using].vendor == "postgresql"


def recent(using: str = DEFAULT_DB_ALIAS) -> Mapping[str, SideState]:
    """The same, as it was at some moment of the last second.

    If it has to be read, that is no query of the application: a project that counts its queries finds no other number.
    """
    at, known = _recent.get(using, (float("-inf"), {}))
    if time.monotonic() - at <= RECENT_SECONDS or not _may_have(using):
        return known
    connection = connections[using]
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        return _read(cursor, using)


def _read(cursor: Any, using: str) -> Mapping[str, SideState]:
    at, found = time.monotonic(), {}
    if using not in _present:
        # A query for a missing table would end the caller's transaction, so the table is looked up first until it is
        # there.
        cursor.execute(agreement.HAS_SIDES)
        if cursor.fetchone()[0]:
            _present.add(using)
    if using in _present:
        cursor.execute(agreement.SIDES)
        found = {state.capability: state for state in map(_state, cursor.fetchall())}
    _recent[using] = at, found
    return found


def forget() -> None:
    """The next call looks anew whether a database has sides at all: for tests, which make sides and take them away."""
    _present.clear()
    _recent.clear()


def is_open(capability: str, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Whether this side owns the capability; where no move concerns it, ``CHASSIS_OPEN_WITHOUT_MOVE`` decides."""
    return opened(sides(using).get(capability))


def place(capability: str, using: str = DEFAULT_DB_ALIAS) -> Mapping[str, Any]:
    """Epoch and side of the capability as this process has seen them last, for its log; asks nobody."""
    state = _recent.get(using, (0.0, {}))[1].get(capability)
    return {} if state is None else {"epoch": state.epoch, "side": state.side}


def opened(state: SideState | None) -> bool:
    """The answer of `is_open` for a state that has been read."""
    return settings.open_without_move() if state is None else state.open


def note_use(capability: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Notes that a request came to routes that another side has, so these routes cannot be dropped for a while.

    It does so at most once per second and process, and not inside a transaction. If the database cannot take the note,
    the request goes on without it.
    """
    now = time.monotonic()
    if now - _noted.get((using, capability), float("-inf")) < NOTED_EVERY_SECONDS:
        return
    _noted[using, capability] = now
    with suppress(DatabaseError), connections[using].cursor() as cursor:
        cursor.execute(agreement.HAS_NOTE_USE)
        if cursor.fetchone()[0]:
            cursor.execute(agreement.NOTE_USE, [capability])


def closed_by_table(table: str, using: str = DEFAULT_DB_ALIAS) -> SideState | None:
    """The state of the capability that the table belongs to, where another side owns it."""
    for state in sides(using).values():
        if not state.open and state.holds(table):
            return state
    return None


def refused_capability(error: BaseException | None) -> str | None:
    """The capability whose fence raised ``error``, looking through what wraps it; None for any other error."""
    while error is not None:
        swallowed = getattr(error, "capability", None)
        if swallowed is not None and isinstance(error, psycopg.Error):
            return str(swallowed)
        diagnosis: Any = getattr(error, "diag", None)
        if diagnosis is not None and diagnosis.sqlstate == agreement.REFUSED:
            return str(diagnosis.message_detail)
        error = error.__cause__
    return None


def _state(row: tuple[Any, ...]) -> SideState:
    capability, side, epoch, opened, bounce_to, peer_url, routes, tables, pausing, schemas, reads = row
    names = _names(tables, schemas)
    return SideState(capability, side, epoch, opened, bounce_to, peer_url, routes, names, pausing, reads)


def _names(tables: Iterable[str], schemas: Collection[str]) -> tuple[str, ...]:
    """The names of each table: with its schema, and without it where the search path leads there, as Django calls
    it."""
    names: list[str] = []
    for table in tables:
        # Only names that need quotes have them.
        name = table.replace('"', "")
        names += [name.removeprefix(f"{schema}.") for schema in schemas if name.startswith(f"{schema}.")]
        names.append(name)
    return tuple(names)


@lru_cache(maxsize=64)
def _routes(text: str) -> tuple[tuple[frozenset[str], re.Pattern[str]], ...]:
    return tuple((frozenset(route["methods"]), re.compile(route["pattern"], re.DOTALL)) for route in json.loads(text))


@lru_cache(maxsize=64)
def _shared(text: str) -> Shared | None:
    told = json.loads(text)
    if not told.get("epoch"):
        return None
    return Shared(int(told["epoch"]), float(told["max_lag"]), float(told["wait"]), bool(told.get("trusting")))
