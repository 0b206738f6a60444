"""One run of a request: the transaction around it, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from chassis.ownership import answers, refusals
from chassis.ownership.refusals import PutOffError, Seen, SwallowedError
from chassis.ownership.seam import AwaitedRow
from chassis.process.body import Received

logger = logging.getLogger("chassis.ownership.fence")


class Attempt:
    """One run of a request, and what became of it. On each of ``aliases`` it is one transaction.

    ``refused`` is the capability whose fence it met, on any connection, also where the view swallowed the error.
    ``put_off`` is what another side did not do in time. ``awaited`` is a row that has not arrived yet. ``committed``
    says that something of the run can no longer be undone. ``unfit`` says that the view opens its transactions itself,
    and wants none around it.
    """

    def __init__(self, denied: list[AwaitedRow], aliases: Sequence[str]) -> None:
        self.aliases = aliases
        self.awaited: AwaitedRow | None = None
        self.unfit = False
        self._denied = denied
        self._seen = Seen(None)

    @property
    def refused(self) -> str | None:
        return self._seen.refused

    @property
    def put_off(self) -> PutOffError | None:
        return self._seen.put_off

    @property
    def met(self) -> bool:
        """Whether its answer does not count, because something stood in its way."""
        return self.refused is not None or self.put_off is not None

    @property
    def committed(self) -> bool:
        return self._seen.committed

    @property
    def is_void(self) -> bool:
        """Whether its answer is thrown away."""
        return self.met or self.awaited is not None or self.unfit

    @property
    def reason(self) -> str:
        """Why its answer is thrown away, in a word."""
        if self.awaited is not None:
            return "awaited"
        return "fence" if self.refused is not None else "put_off" if self.met else "unfit" if self.unfit else ""

    def run(self, get_response: Callable[[HttpRequest], HttpResponseBase], request: Received) -> HttpResponseBase:
        """Runs the rest of the middleware and the view."""
        request.fence_attempt = self  # type: ignore[union-attr]
        with refusals.watching(self._seen):
            try:
                with ExitStack() as blocks:
                    for alias in self.aliases:
                        blocks.enter_context(transaction.atomic(using=alias))
                    response = get_response(request)
                    if self.is_void:
                        for alias in self.aliases:
                            transaction.set_rollback(True, using=alias)
            except Exception:
                # The fence was met at COMMIT, by a deferred trigger, or after it, by a callback. Or the other side did
                # not do before the COMMIT what it was asked for.
                if not self.met:
                    raise
                return answers.later()
        return response if not response.streaming else _watched_to_its_end(response)

    def denied(self, awaited: AwaitedRow) -> bool:
        """Whether the owner has said that there is no such row."""
        return any(known.model is awaited.model and known.pk == awaited.pk for known in self._denied)


_durable: set[Any] = set()  # views that have opened a durable block, which must be the outermost


def aliases_of(request: HttpRequest) -> list[str]:
    """The aliases on which a request to a capability's route has one transaction: the default one, and those for which
    the project wants it."""
    view = _view(request)
    own: frozenset[str] = getattr(view, "_non_atomic_requests", frozenset())
    wanted = {alias for alias in connections if connections.settings[alias].get("ATOMIC_REQUESTS")}
    if view not in _durable:
        wanted.add(DEFAULT_DB_ALIAS)
    return sorted(wanted - set(own))


def wants_its_own_transaction(exception: Exception) -> bool:
    """Whether it was raised by a durable block, which must be the outermost."""
    return isinstance(exception, RuntimeError) and "durable atomic block" in str(exception)


def learn(request: HttpRequest, attempt: Attempt) -> bool:
    """Whether the block was refused because of the transaction that stands around the request in a move."""
    if connections.settings[DEFAULT_DB_ALIAS].get("ATOMIC_REQUESTS") or DEFAULT_DB_ALIAS not in attempt.aliases:
        return False
    _durable.add(_view(request))
    return True


def _view(request: HttpRequest) -> Any:
    try:
        return resolve(request.path_info).func
    except Resolver404:
        return None


def _watched_to_its_end(response: HttpResponseBase) -> HttpResponseBase:
    """A streamed body is made after the transaction, so it cannot be sent on: it breaks off where its making met a
    fence."""
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        parts: Any = response.streaming_content
        response.streaming_content = _unbroken_async(aiter(parts)) if response.is_async else _unbroken(iter(parts))
    return response


def _unbroken(parts: Iterator[Any]) -> Iterator[Any]:
    seen = Seen(None)
    while True:
        with refusals.watching(seen):
            part = next(parts, None)
        _break_off(seen)
        if part is None:
            return
        yield part


async def _unbroken_async(parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    seen = Seen(None)
    while True:
        with refusals.watching(seen):
            part = await anext(parts, None)
        _break_off(seen)
        if part is None:
            return
        yield part


def _break_off(seen: Seen) -> None:
    if seen.refused is not None:
        logger.error("fence_met_in_streamed_body", extra={"capability": seen.refused})
        raise SwallowedError(seen.refused)
