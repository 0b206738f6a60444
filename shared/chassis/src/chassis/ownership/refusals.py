"""Whether a request, message or task has met a fence or lost the database, as the connections themselves tell.

Every statement of a program ends in ``wait`` of psycopg's ``Connection`` or ``AsyncConnection``: cursors of Django and
others, COPY, pipelines, another alias, a connection that a view has made for itself. So this module watches there, and
not in Django's wrappers.

Note "no commit after a refusal": a transaction in which a statement met a fence is never committed, even if a savepoint
and an ``except`` have made it look whole. Its COMMIT becomes a ROLLBACK and raises. That holds for each connection of
the process, in any thread, inside `watching` or not. Inside `watching` it also holds for the other connections of the
same request, message or task, until something of it has been committed.
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
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections
from prometheus_client import Counter
from psycopg.pq import PipelineStatus, TransactionStatus

from chassis import agreement
from chassis.database.absence import is_outage
from chassis.database.statements import Statement
from chassis.ownership import owners, passages

logger = logging.getLogger("chassis.ownership.refusals")

UNSEEN = Counter(
    "chassis_refusals_unseen_total",
    "Statements that met a fence where no request, message or task was watched: in threads, commands, streamed bodies.",
)


class SwallowedError(psycopg.InternalError):
    """A COMMIT was refused: a statement of the transaction had met the fence of ``capability``."""

    def __init__(self, capability: str) -> None:
        super().__init__(
            f"{capability} is not open here: a statement of this transaction was refused, and so all of it is "
            "rolled back; let the error of the statement through, or write nothing of the capability here"
        )
        self.capability = capability


class PutOffError(OperationalError):
    """What was asked for could not be done just now, because another side has to do a part of it. It may succeed when
    it is tried again; nothing has been done here. ``capability`` is what that other side owns."""

    def __init__(self, text: str, capability: str = "") -> None:
        super().__init__(text)
        self.capability = capability


class Seen:
    """What the statements of one request, message or task have met, whatever its code made of the errors.

    ``refused`` is the capability whose fence it was. ``lost`` is the error by which Django's session went away.
    ``put_off`` is the error of something that another side did not do in time. ``committed`` says that something was
    written and can no longer be undone.
    """

    def __init__(self, outer: Seen | None) -> None:
        self.refused: str | None = None
        self.put_off: PutOffError | None = None
        self.lost: psycopg.Error | None = None
        self.committed = False
        self.outer = outer

    def check(self) -> None:
        """Raises what was met, if anything. Call it before the end of a transaction, so that all of it is rolled
        back."""
        with connection.wrap_database_errors:
            if self.refused is not None:
                raise SwallowedError(self.refused)
            if self.lost is not None:
                raise self.lost
            if self.put_off is not None:
                raise self.put_off


_watching: ContextVar[Seen | None] = ContextVar("chassis_refusals", default=None)


@contextmanager
def watching(seen: Seen | None = None) -> Iterator[Seen]:
    """Notes what the calling thread's statements meet inside; it does not see a thread that is begun inside.

    Watches may be nested. With ``seen`` an earlier watch goes on.
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


Raw = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

_sessions: WeakKeyDictionary[Raw, _Session] = WeakKeyDictionary()
_wait = psycopg.Connection.wait
_wait_async = psycopg.AsyncConnection.wait
_NOTHING = Statement()


def install() -> None:
    """Watches every connection of this process from now on; a second call is no error."""
    psycopg.Connection.wait = _watched  # type: ignore[method-assign]
    psycopg.AsyncConnection.wait = _watched_async  # type: ignore[method-assign]


def put_off(error: PutOffError, *, moved: str | None = None) -> PutOffError:
    """Notes the error for those who watch, so that all of the transaction is rolled back; returns it, to be raised.

    ``moved`` is the capability whose owner has changed meanwhile: a request is then run again.
    """
    _note(_watching.get(), put_off=error, refused=moved)
    return error


def is_spoiled(connection: Raw) -> bool:
    """Whether a statement of the connection's transaction has met a fence, so that no commit of it will succeed."""
    session = _sessions.get(connection)
    return session is not None and session.refused is not None


def _watched(self: psycopg.Connection[Any], gen: Any, *args: Any, **kwargs: Any) -> Any:
    """Stands in place of ``psycopg.Connection.wait``."""
    look = _Look(self, gen)
    if look.unwanted is not None:
        if look.roll_back():
            _wait(self, gen)
        raise SwallowedError(look.unwanted)
    with look:
        return _wait(self, gen, *args, **kwargs)


async def _watched_async(self: psycopg.AsyncConnection[Any], gen: Any, *args: Any, **kwargs: Any) -> Any:
    """Stands in place of ``psycopg.AsyncConnection.wait``."""
    look = _Look(self, gen)
    if look.unwanted is not None:
        if look.roll_back():
            await _wait_async(self, gen)
        raise SwallowedError(look.unwanted)
    with look:
        return await _wait_async(self, gen, *args, **kwargs)


class _Look:
    """A look at one piece of work: before it, whether it may run; around it, what became of it.

    ``unwanted`` is set where the work would commit the transaction and must not. It names the capability whose fence
    was met: see the note "no commit after a refusal".
    """

    def __init__(self, connection: Raw, work: Any) -> None:
        self._connection = connection
        self._session = session = _sessions.get(connection) or _meet(connection)
        self._seen = seen = _watching.get()
        self._known = known = _NOTHING if seen is None and session.refused is None else Statement.of(work)
        self._before = before = connection.pgconn.transaction_status
        self._pipelined = connection.pgconn.pipeline_status != PipelineStatus.OFF
        self.unwanted: str | None = None
        # ACTIVE is the status of a pipeline, whose errors may come later. A text that goes back to a savepoint and then
        # commits does commit what stands before the savepoint. A COMMIT alone, in a transaction that has failed, is a
        # ROLLBACK.
        ends = before in (TransactionStatus.INTRANS, TransactionStatus.ACTIVE)
        if known.commits and (ends or (before == TransactionStatus.INERROR and known.several)):
            self.unwanted = session.refused or _spoils(seen, session)

    def roll_back(self) -> bool:
        """Rolls back in place of the work; returns whether the work has to be run all the same."""
        if self._connection.pgconn.pipeline_status != PipelineStatus.OFF:
            return False
        self._connection.pgconn.exec_(b"ROLLBACK")
        self._session.refused, self._session.wrote = None, False
        return self._known.has_to_run

    def __enter__(self) -> None:
        self._session.wrote = self._session.wrote or self._known.writes

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        known, session = self._known, self._session
        # This comes before the session's notes are cleared: the error itself belongs to this transaction.
        wrote = session.wrote or session.refused is not None
        if isinstance(error, psycopg.Error):
            self._meet(error)
        idle = self._connection.pgconn.transaction_status == TransactionStatus.IDLE
        if error is not None:
            done = self._may_be_done_in_part(idle)
        else:
            undone = known.rolls_back or (self._before == TransactionStatus.INERROR and not known.several)
            done = (idle or known.commits) and not undone
        if idle or (error is None and (known.commits or known.rolls_back)):
            session.refused, session.wrote = None, False
        if done and wrote:
            _note(self._seen, committed=True)

    def _may_be_done_in_part(self, idle: bool) -> bool:
        """Whether something was committed before the error came."""
        if self._known.several and self._known.commits:
            return True
        if not idle:
            return False
        return self._connection.autocommit and (self._pipelined or self._known.inside)

    def _meet(self, error: psycopg.Error) -> None:
        refused = owners.refused_capability(error)
        if refused is not None:
            _refuse(self._connection, self._session, refused)
        elif is_outage(error) and _is_djangos(self._connection):
            _note(self._seen, lost=error)


def _meet(self: Raw) -> _Session:
    """Begins to hear the fence's notice. It comes even where a function in the database swallows the fence's error."""
    session = _sessions[self] = _Session()
    known = ref(self)

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        connection = known()
        if notice.sqlstate == agreement.REFUSED and connection is not None:
            _refuse(connection, session, str(notice.message_detail), warned=True)

    self.add_notice_handler(hear)
    return session


def _refuse(connection: Raw, session: _Session, capability: str, *, warned: bool = False) -> None:
    seen, told = _watching.get(), session.refused is not None
    if not warned:
        passages.hit(capability)
    # A statement outside a transaction is refused alone: nothing else could be committed with it.
    if warned or connection.pgconn.transaction_status != TransactionStatus.IDLE:
        session.refused = capability
    if seen is None and not told:
        UNSEEN.inc()
        logger.warning("refusal_unseen", extra={"capability": capability})
    _note(seen, refused=capability)


def _spoils(seen: Seen | None, session: _Session) -> str | None:
    """The fence that another connection met, as long as all of the request, message or task can still be undone."""
    return None if seen is None or seen.committed or not session.wrote else seen.refused


def _note(
    seen: Seen | None,
    *,
    refused: str | None = None,
    lost: psycopg.Error | None = None,
    put_off: PutOffError | None = None,
    committed: bool = False,
) -> None:
    while seen is not None:
        seen.put_off = seen.put_off or put_off
        seen.refused = seen.refused or refused
        seen.lost = seen.lost or lost
        seen.committed = seen.committed or committed
        seen = seen.outer


def _is_djangos(raw: Raw) -> bool:
    """Whether the view believes that the writes of this session will be committed, so that they are missed if it is
    lost."""
    for known in connections.all(initialized_only=True):
        if known.connection is raw:
            return known.alias == DEFAULT_DB_ALIAS or bool(known.in_atomic_block)
    return False
