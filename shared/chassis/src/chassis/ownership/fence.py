"""What happens to a request that meets the fence: held, sent to the new owner, or run again.

Note "one transaction": a request is only repeated or sent on when nothing of it has been committed. So a request to a
route of a capability that is here runs in one transaction. When a statement in it met a fence, that transaction is
rolled back, whatever the view returned. Requests to all other routes have the transactions that the project gives them,
and are repeated if nothing of them was committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from chassis import settings
from chassis.agreement import CAPABILITY, FORWARDED, TO
from chassis.database import isolation
from chassis.database.absence import is_outage
from chassis.ownership import forwarding, owners, refusals
from chassis.ownership.holding import Holding
from chassis.ownership.outage import Outage
from chassis.ownership.owners import SideState
from chassis.ownership.refusals import Seen, SwallowedError
from chassis.ownership.seam import AwaitedRow
from chassis.process import body, waiting
from chassis.process.admission import SAFE_METHODS
from chassis.process.body import Body
from chassis.process.waiting import Full

logger = logging.getLogger("chassis.ownership.fence")

OUTAGE = "chassis.ownership.outage"  # in each request's environment, which its copies share
RUNS = 4  # a request that meets fences more often is a fault: moves cannot explain it


class FenceMiddleware:
    """Belongs around everything that may touch the database."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.holding = Holding()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answers the request here, or sends it to the side that can; answers 503 while the database is away."""
        outage = request.META[OUTAGE] = Outage()
        try:
            response = self._pass(request)
        except Error as error:
            if isolation.is_passing(error):
                return _crossed(request)
            if not is_outage(error):
                raise
            return outage.answer(request)
        return outage.answer(request) if outage.met else response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """A view that met the fence, or lost the database, has not failed: its answer is thrown away, without an
        alarm."""
        attempt = getattr(request, "fence_attempt", None)
        outage: Outage = request.META[OUTAGE]
        outage.note(exception)
        if attempt is not None and _wants_its_own_transaction(exception):
            attempt.unfit = _learn(request, attempt)
            return HttpResponse(status=503) if attempt.unfit else None
        if isolation.is_passing(exception):
            return _crossed(request)
        return HttpResponse(status=503) if outage.met or (attempt is not None and attempt.is_void) else None

    def reach(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the rest of the middleware and the view."""
        with request.META[OUTAGE].watching():
            return self.get_response(request)

    def _pass(self, request: HttpRequest) -> HttpResponseBase:
        sides = owners.sides()
        if not settings.open_without_move() and _needs_a_move(request) and _is_unmoved(request, sides):
            return _unmoved()
        if not sides or not isinstance(request, WSGIRequest):
            return self.reach(request)
        try:
            passage = _Passage(self, request, body.of(request), sides)
        except body.RefusedBody as refused:
            return refused.answer
        return body.release(request, passage.run())


class _Passage:
    """One request's way through the fence."""

    def __init__(
        self, middleware: FenceMiddleware, request: WSGIRequest, body: Body, sides: Mapping[str, SideState]
    ) -> None:
        self.middleware = middleware
        self.request = request
        self.body = body
        self.method = request.method or "GET"
        path = request.path_info
        self.own = next((s for s in sides.values() if s.concerns(self.method, path)), None)
        self.deadline = time.monotonic() + settings.hold_seconds()
        self.denied: list[AwaitedRow] = []

    def run(self) -> HttpResponseBase:
        own = self.own
        # Reads are served from the old copy while the pause lasts, and follow the owner from then on. A client that has
        # written there must see what it wrote, though the gateway may still send the next request here.
        if own and not own.writable and (self.method not in SAFE_METHODS or own.bounce_to is not None):
            elsewhere = self._hold_own(own)
            if elsewhere is not None:
                return elsewhere
        for _ in range(RUNS):
            attempt = Attempt(self.denied, _aliases(self.request) if own else ())
            fresh = self.body.again(self.request)
            response = attempt.run(self.middleware.reach, fresh)
            self.request.resolver_match = fresh.resolver_match
            if attempt.unfit and not attempt.committed:
                continue
            if attempt.refused is None and attempt.awaited is None:
                return response
            if attempt.committed:
                logger.error("fence_met_after_commit", extra={"capability": attempt.refused, "path": self.request.path})
                return response if attempt.refused is None else _half_done()
            if attempt.awaited is not None:
                try:
                    with waiting.process.one("owners"):
                        arrived = attempt.awaited.arrive()
                except Full:
                    return _later()
                if not arrived:
                    self.denied.append(attempt.awaited)
                continue
            elsewhere = self._met(attempt.refused or "")
            if elsewhere is not None:
                return elsewhere
        logger.error("fence_met_again_and_again", extra={"path": self.request.path})
        return _later()

    def _met(self, capability: str) -> HttpResponseBase | None:
        """After a rollback: a response that ends the passage, or None to run the request again here."""
        state = owners.sides().get(capability)
        if state is None:
            return None
        if self.own is not None and self.own.capability == capability:
            return self._hold_own(state)
        # Another capability's fence: wait until its owner is decided. The next run then reaches that owner in its own
        # way.
        try:
            self.middleware.holding.wait(capability, _decided, deadline=self.deadline)
        except (Full, TimeoutError):
            return _later()
        return None

    def _hold_own(self, state: SideState) -> HttpResponseBase | None:
        """Waits for the owner; a response that leads to it, or None when that is this side."""
        bounced = TO in self.request.headers
        if state.bounce_to is None:
            try:
                seen = self.middleware.holding.wait(state.capability, _decided, deadline=self.deadline)
            except TimeoutError:
                seen = owners.sides().get(state.capability)
            except Full:
                if bounced:
                    return _later()
                seen = state
            if seen is None or seen.open:
                return None
            state = seen
        return self._send(state, again=bounced)

    def _send(self, state: SideState, *, again: bool) -> HttpResponseBase:
        to = "monolith" if state.side == "service" else "service"
        owners.note_use(state.capability)
        if again or self.body.length > settings.bounce_limit() or not forwarding.has_address(self.request):
            if FORWARDED in self.request.headers or self.body.lost:
                return _later()
            try:
                with waiting.process.one("peers"):
                    return forwarding.forward(self.request, self.body, to=to, peer_url=state.peer_url)
            except Full:
                return _later()
        response = HttpResponse(status=307)
        response["Location"] = forwarding.own_address(self.request)
        # The gateway finds the way by these two headers, whatever it makes of the path.
        response[TO] = to
        response[CAPABILITY] = state.capability
        return response


class Attempt:
    """One run of a request, and what became of it. On each of ``aliases`` it is one transaction.

    ``refused`` is the capability whose fence it met, on any connection, also where the view swallowed the error.
    ``awaited`` is a row that has not arrived yet. ``committed`` says that something of the run can no longer be undone.
    ``unfit`` says that the view opens its transactions itself, and wants none around it.
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
    def committed(self) -> bool:
        return self._seen.committed

    @property
    def is_void(self) -> bool:
        """Whether its answer is thrown away."""
        return self.refused is not None or self.awaited is not None or self.unfit

    def run(self, get_response: Callable[[HttpRequest], HttpResponseBase], request: WSGIRequest) -> HttpResponseBase:
        """Runs the rest of the middleware and the view."""
        request.fence_attempt = self  # type: ignore[attr-defined]
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
                # The fence was met at COMMIT, by a deferred trigger, or after it, by a callback.
                if self.refused is None:
                    raise
                return _later()
        return response if not response.streaming else _watched_to_its_end(response)

    def denied(self, awaited: AwaitedRow) -> bool:
        """Whether the owner has said that there is no such row."""
        return any(known.model is awaited.model and known.pk == awaited.pk for known in self._denied)


_durable: set[Any] = set()  # views that have opened a durable block, which must be the outermost


def _aliases(request: HttpRequest) -> list[str]:
    """The aliases on which a request to a capability's route has one transaction: the default one, and those for which
    the project wants it."""
    view = _view(request)
    own: frozenset[str] = getattr(view, "_non_atomic_requests", frozenset())
    wanted = {alias for alias in connections if connections.settings[alias].get("ATOMIC_REQUESTS")}
    if view not in _durable:
        wanted.add(DEFAULT_DB_ALIAS)
    return sorted(wanted - set(own))


def _wants_its_own_transaction(exception: Exception) -> bool:
    return isinstance(exception, RuntimeError) and "durable atomic block" in str(exception)


def _learn(request: HttpRequest, attempt: Attempt) -> bool:
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
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse) and not response.is_async:
        parts: Any = response.streaming_content
        response.streaming_content = _unbroken(iter(parts))
    return response


def _unbroken(parts: Iterator[Any]) -> Iterator[Any]:
    seen = Seen(None)
    while True:
        with refusals.watching(seen):
            part = next(parts, None)
        if seen.refused is not None:
            logger.error("fence_met_in_streamed_body", extra={"capability": seen.refused})
            raise SwallowedError(seen.refused)
        if part is None:
            return
        yield part


def _decided(state: SideState | None) -> bool:
    return state is None or state.writable or state.bounce_to is not None


def _half_done() -> HttpResponseBase:
    # Without Retry-After: a client that simply asks again would repeat what has been done.
    detail = (
        "This part of the service is changing hands, and only a part of the request was done: look before you try "
        "again, or send the same Idempotency-Key."
    )
    return JsonResponse({"detail": detail}, status=503)


def _needs_a_move(request: HttpRequest) -> bool:
    """Whether only the owner can answer: it writes, or was led here because this side is the owner."""
    return request.method not in SAFE_METHODS or TO in request.headers


def _is_unmoved(request: HttpRequest, sides: Mapping[str, SideState]) -> bool:
    """Whether the request may be of a capability that has never moved here.

    A capability that has not moved has no routes here. So as long as there is one, a request that belongs to no other
    capability is taken for a request of it.
    """
    if not sides:
        return True
    if any(state.concerns(request.method or "GET", request.path_info) for state in sides.values()):
        return False
    return not settings.capabilities() <= sides.keys()


def _unmoved() -> HttpResponseBase:
    """Refuses the write: a row that is written before a capability has moved here is one that no move will find."""
    detail = "This has not been moved to this service yet: it takes no writes. The monolith has what you ask for."
    response = JsonResponse({"detail": detail}, status=503)
    response["Retry-After"] = "1"
    return response


def _crossed(request: HttpRequest) -> HttpResponseBase:
    logger.warning("transactions_crossed", extra={"path": request.path})
    response = JsonResponse({"detail": "Others were changing the same at the same time; try again."}, status=503)
    response["Retry-After"] = "1"
    return response


def _later() -> HttpResponseBase:
    response = JsonResponse({"detail": "This part of the service is changing hands; try again."}, status=503)
    response["Retry-After"] = "1"
    return response
