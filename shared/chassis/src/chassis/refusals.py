"""Who has met a fence, or has lost the database, asked of the connections themselves.

Whatever a program calls ends in psycopg's ``Connection.wait``: cursors of Django and others, COPY, pipelines, another
alias, a connection that a view has made for itself. So that is where one looks, and not at what Django wraps.

Note "no commit after a refusal": a transaction in which a statement met a fence is never committed, though a savepoint
and an ``except`` have made it look whole. Its COMMIT becomes a ROLLBACK and raises. That holds for each connection of
the process, in any thread, whether somebody watches or not. Where somebody watches, it holds for the other connections
of the same request, message or task, too, until something of it has been committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections
from prometheus_client import Counter
from psycopg.pq import PipelineStatus, TransactionStatus

from chassis import ownership
from chassis.outage import is_outage
from chassis.statements import Statement

logger = logging.getLogger("chassis.refusals")

UNSEEN = Counter(
    "chassis_refusals_unseen_total",
    "Statements that met a fence where no request, message or task was watched: in threads, commands, streamed bodies.",
)


class SwallowedError(psycopg.InternalError):
    """A transaction was to be committed in which a statement had met the fence of ``capability``."""

    def __init__(self, capability: str) -> None:
        super().__init__(
            f"{capability} is not open here: a statement of this transaction was refused, and so all of it is "
            "rolled back; let the error of the statement through, or write nothing of the capability here"
        )
        self.capability = capability


class Seen:
    """What the statements of one request, message or task have met, whatever its code made of the errors.

    ``refused`` is the capability whose fence it was; ``lost`` the error by which Django's session went away;
    ``committed`` says that something was written and can no longer be undone.
    """

    def __init__(self, outer: Seen | None) -> None:
        self.refused: str | None = None
        self.lost: psycopg.Error | None = None
        self.committed = False
        self.outer = outer

    def check(self) -> None:
        """Raises what was met, if anything: before the end of a transaction, so that all of it is rolled back."""
        with connection.wrap_database_errors:
            if self.refused is not None:
                raise SwallowedError(self.refused)
            if self.lost is not None:
                raise self.lost


_watching: ContextVar[Seen | None] = ContextVar("chassis_refusals", default=None)


@contextmanager
def watching(seen: Seen | None = None) -> Iterator[Seen]:
    """What the calling thread's statements meet inside; a thread that is begun inside is not seen.

    Several may watch at once, each around the next. With ``seen`` an earlier watch goes on.
    """
    outer = _watching.get()
    found = seen or Seen(outer)
    token = _watching.set(found)
    try:
        yield found
    finally:
        _watching.reset(token)


@dataclass(slots=True)
class _Session:
    """What a connection has done since its transaction began."""

    refused: str | None = None
    wrote: bool = False


_sessions: WeakKeyDictionary[psycopg.Connection[Any], _Session] = WeakKeyDictionary()
_wait = psycopg.Connection.wait
_NOTHING = Statement()


def install() -> None:
    """Looks at every connection of this process from now on; again is no error."""
    psycopg.Connection.wait = _watched  # type: ignore[method-assign]


def _watched(self: psycopg.Connection[Any], gen: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of ``psycopg.Connection.wait``."""
    session = _sessions.get(self) or _meet(self)
    seen = _watching.get()
    known = _NOTHING if seen is None and session.refused is None else Statement.of(gen)
    before = self.pgconn.transaction_status
    if known.commits and before == TransactionStatus.INTRANS:
        refused = session.refused or _spoils(seen, session)
        if refused is not None:
            return _refuse_commit(self, session, gen, known, refused)
    session.wrote = session.wrote or known.writes
    try:
        result = _run(self, session, gen, args, kwargs)
    except BaseException:
        _settle(self, session)
        raise
    kept = before != TransactionStatus.INERROR and not known.rolls_back
    if _settle(self, session) and kept:
        _note(seen, committed=True)
    return result


def _settle(self: psycopg.Connection[Any], session: _Session) -> bool:
    """Forgets what belonged to a transaction that is over; whether there was anything to be committed."""
    if self.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    something = session.wrote or session.refused is not None
    session.refused, session.wrote = None, False
    return something


def _run(self: psycopg.Connection[Any], session: _Session, gen: Any, args: Any, kwargs: Any) -> Any:
    try:
        return _wait(self, gen, *args, **kwargs)
    except psycopg.Error as error:
        refused = ownership.refused_capability(error)
        if refused is not None:
            _refuse(self, session, refused)
        elif is_outage(error) and _is_djangos(self):
            _note(_watching.get(), lost=error)
        raise


def _meet(self: psycopg.Connection[Any]) -> _Session:
    """A fence also warns, for functions in the database that swallow its error: the notice comes all the same."""
    session = _sessions[self] = _Session()
    known = ref(self)

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        connection = known()
        if notice.sqlstate == ownership.REFUSED and connection is not None:
            _refuse(connection, session, str(notice.message_detail), warned=True)

    self.add_notice_handler(hear)
    return session


def _refuse(connection: psycopg.Connection[Any], session: _Session, capability: str, *, warned: bool = False) -> None:
    seen, told = _watching.get(), session.refused is not None
    # A statement outside a transaction is refused alone: there is nothing else that could be committed.
    if warned or connection.pgconn.transaction_status != TransactionStatus.IDLE:
        session.refused = capability
    if seen is None and not told:
        UNSEEN.inc()
        logger.warning("refusal_unseen", extra={"capability": capability})
    _note(seen, refused=capability)


def _spoils(seen: Seen | None, session: _Session) -> str | None:
    """What another connection met, as long as all of the request, message or task can still be undone."""
    return None if seen is None or seen.committed or not session.wrote else seen.refused


def _refuse_commit(
    self: psycopg.Connection[Any], session: _Session, gen: Any, statement: Statement, refused: str
) -> Any:
    """See the note "no commit after a refusal"."""
    if self.pgconn.pipeline_status == PipelineStatus.OFF:
        self.pgconn.exec_(b"ROLLBACK")
        session.refused, session.wrote = None, False
        if statement.has_to_run:
            _wait(self, gen)
    raise SwallowedError(refused)


def _note(
    seen: Seen | None, *, refused: str | None = None, lost: psycopg.Error | None = None, committed: bool = False
) -> None:
    while seen is not None:
        seen.refused = seen.refused or refused
        seen.lost = seen.lost or lost
        seen.committed = seen.committed or committed
        seen = seen.outer


def _is_djangos(raw: psycopg.Connection[Any]) -> bool:
    """Whether a lost session takes writes with it of which the view believes that they will be committed."""
    for known in connections.all(initialized_only=True):
        if known.connection is raw:
            return known.alias == DEFAULT_DB_ALIAS or bool(known.in_atomic_block)
    return False
