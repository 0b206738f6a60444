"""What happens to a request that meets the fence: held, sent to the new owner, or run again.

Note "one transaction": a request is only repeated or sent on when nothing of it has been committed. So a request to a
route of a capability that is here runs in one transaction. When a statement in it met a fence, that transaction is
rolled back, whatever the view returned. Requests to all other routes have the transactions that the project gives them,
and are repeated if nothing of them was committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from django.core.handlers.asgi import ASGIRequest
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from chassis import settings
from chassis.agreement import CAPABILITY, FORWARDED, TO
from chassis.database import isolation
from chassis.database.absence import is_outage
from chassis.ownership import (
    answers,
    asynchronous,
    forwarding,
    internal,
    owners,
    passages,
    positions,
    strays,
    traces,
)
from chassis.ownership.attempt import Attempt, aliases_of, learn, wants_its_own_transaction
from chassis.ownership.holding import Holding
from chassis.ownership.outage import Outage
from chassis.ownership.owners import SideState
from chassis.ownership.refusals import PutOffError
from chassis.ownership.seam import AwaitedRow
from chassis.process import about, body, faults, measuring, tracing, waiting
from chassis.process.admission import SAFE_METHODS
from chassis.process.body import Body, Received
from chassis.process.waiting import Full

logger = logging.getLogger("chassis.ownership.fence")

OUTAGE = "chassis.ownership.outage"  # in each request's environment, which its copies share
RUNS = 4  # a request that meets fences more often is a fault: moves cannot explain it
SURE_RUNS = 2  # in which a request meets a fence that stood before it, until no run can succeed


class FenceMiddleware:
    """Belongs around everything that may touch the database."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.holding = Holding()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answers the request here, or sends it to the side that can; answers 503 while the database is away."""
        response = self._answer(request)
        # A copy that cannot answer costs nobody the answer: its owner has it.
        if response.status_code == 503 and (capability := positions.sent_to_the_copy(request)) is not None:
            return _to_the_owner(request, capability) or response
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if isinstance(request, ASGIRequest):
            asynchronous.tell()
        if faults.fails():
            with suppress(Error):
                _whose(request, owners.recent())
            return answers.injected()
        outage = request.META[OUTAGE] = Outage()
        try:
            response = self._pass(request)
        except Error as error:
            if isolation.is_passing(error):
                return answers.crossed(request)
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
        if attempt is not None and wants_its_own_transaction(exception):
            attempt.unfit = learn(request, attempt)
            return HttpResponse(status=503) if attempt.unfit else None
        if isolation.is_passing(exception):
            return answers.crossed(request)
        if isinstance(exception, PutOffError):
            return answers.put_off()
        return HttpResponse(status=503) if outage.met or (attempt is not None and attempt.is_void) else None

    def reach(self, request: HttpRequest) -> HttpResponseBase:
        """The answer of the rest of the middleware and the view."""
        with request.META[OUTAGE].watching():
            return self.get_response(request)

    def _pass(self, request: HttpRequest) -> HttpResponseBase:
        if (view := internal.views.get(request.path_info)) is not None:
            return view(request)
        began = time.monotonic()
        sides = owners.sides()
        # A gateway that has not heard of the move's end still sends reads to a copy which is not there any more.
        if (capability := positions.sent_to_the_copy(request)) is not None and capability not in sides:
            return _to_the_owner(request, capability) or answers.later()
        if not settings.open_without_move() and _needs_a_move(request) and _is_unmoved(request, sides):
            return answers.unmoved()
        passages.known(sides)
        if not sides or not body.is_received(request):
            response = self.reach(request)
            positions.give(request, response, sides, began)
            return response
        try:
            passage = _Passage(self, request, body.of(request), sides)
        except body.RefusedBody as refused:
            return refused.answer
        response = passage.run()
        passages.ended(response, passage.concerned)
        positions.give(request, response, sides, began)
        return body.release(request, response)


def _whose(request: HttpRequest, sides: Mapping[str, SideState]) -> SideState | None:
    """The side to whose capability's routes the request is one; what is measured and logged of it says so."""
    method, path = request.method or "GET", request.path_info
    found = next((side for side in sides.values() if side.concerns(method, path)), None)
    if found is not None:
        measuring.belongs(request, found.capability, found.side)
        about.note(capability=found.capability, epoch=found.epoch, side=found.side)
    return found


class _Passage:
    """One request's way through the fence."""

    def __init__(
        self, middleware: FenceMiddleware, request: Received, body: Body, sides: Mapping[str, SideState]
    ) -> None:
        self.middleware = middleware
        self.request = request
        self.body = body
        self.method = request.method or "GET"
        self.sides = sides  # as they were before the present run
        self.strayed = 0
        self.own = _whose(request, sides)
        self.deadline = time.monotonic() + settings.hold_seconds()
        self.denied: list[AwaitedRow] = []
        self.concerned = self.own.capability if self.own else ""  # whose fence or closed side it has come to
        tracing.note(traces.of(self.own))

    def run(self) -> HttpResponseBase:
        own = self.own
        if own and self._goes_on(own):
            elsewhere = self._hold_own(own)
            if elsewhere is not None:
                return elsewhere
        for number in range(1, RUNS + 1):
            if number > 1:
                passages.became("run_again", self.concerned)
            attempt = Attempt(self.denied, aliases_of(self.request) if own else ())
            fresh = self.body.again(self.request)
            response = attempt.run(self.middleware.reach, fresh)
            self.request.resolver_match = fresh.resolver_match
            answer = self._after(attempt, fresh, response)
            if answer is not None:
                return answer
            traces.event("run_again", self._met_by(attempt), run=number + 1, reason=attempt.reason)
        if attempt.put_off is not None:
            return self._put_off(attempt)
        logger.error("fence_met_again_and_again", extra={"path": self.request.path})
        return self._later("runs")

    def _goes_on(self, own: SideState) -> bool:
        """Whether the owner has to answer, and not this side."""
        if own.writable:
            return False
        if self.method not in SAFE_METHODS:
            return True
        if positions.is_meant(self.request, own):
            return not positions.may_answer(self.request, own)
        # Reads are served from the old copy while the pause lasts, and follow the owner from then on. A client that has
        # written there must see what it wrote, though the gateway may still send the next request here.
        return own.bounce_to is not None

    def _met_by(self, attempt: Attempt) -> SideState | None:
        """The side whose fence the run has met, or whose owner has not done its part; or else the request's own."""
        waited_for = attempt.put_off.capability if attempt.put_off is not None else ""
        return self.sides.get(attempt.refused or waited_for) or self.own

    def _later(self, reason: str) -> HttpResponseBase:
        traces.event("refused", self.own, reason=reason)
        return answers.later()

    def _put_off(self, attempt: Attempt) -> HttpResponseBase:
        traces.event("put_off", self._met_by(attempt))
        return answers.put_off()

    def _after(self, attempt: Attempt, fresh: HttpRequest, response: HttpResponseBase) -> HttpResponseBase | None:
        """After a run: the response that ends the passage, or None to run the request again here."""
        if attempt.unfit and not attempt.committed:
            return None
        if not attempt.met and attempt.awaited is None:
            return response
        self.concerned = attempt.refused or self.concerned
        if attempt.refused is not None and self._can_never_be(attempt, attempt.refused):
            traces.event("refused", self.sides.get(attempt.refused), reason="never")
            strays.tell(attempt.refused, fresh)
            return answers.never(in_part=attempt.committed)
        if attempt.committed:
            traces.event("refused", self._met_by(attempt), reason="half_done")
            logger.error("fence_met_after_commit", extra={"capability": attempt.refused, "path": self.request.path})
            return answers.half_done() if attempt.met else response
        if attempt.put_off is not None and attempt.refused is None:
            logger.warning("put_off", extra={"path": self.request.path, "reason": str(attempt.put_off)})
            return self._put_off(attempt)
        return self._met(attempt.refused or "") if attempt.awaited is None else self._await(attempt.awaited)

    def _await(self, awaited: AwaitedRow) -> HttpResponseBase | None:
        """Waits for a row that is on its way, and then as `_after`."""
        try:
            with waiting.process.one("owners"), traces.awaited(awaited.state, awaited.model._meta.label):
                if not awaited.arrive():
                    self.denied.append(awaited)
        except Full:
            return self._later("full")
        return None

    def _can_never_be(self, attempt: Attempt, capability: str) -> bool:
        """Whether the run wrote what another side owns, although that side was the owner before it, and has no such
        route.

        A view may decide by what its process knew of the owner, which may be older than what the middleware knows. So
        it takes two such runs, unless the first cannot be repeated.
        """
        before, self.sides = self.sides, owners.sides()
        then, now = before.get(capability), self.sides.get(capability)
        if attempt.awaited is not None or attempt.put_off is not None:
            return False
        if self.own is not None and self.own.capability == capability:
            return False
        if then is None or now is None or then.epoch != now.epoch or not (then.is_elsewhere and now.is_elsewhere):
            return False
        self.strayed += 1
        return attempt.committed or self.strayed >= SURE_RUNS

    def _met(self, capability: str) -> HttpResponseBase | None:
        """After a rollback: a response that ends the passage, or None to run the request again here."""
        state = self.sides.get(capability)
        if state is None:
            return None
        if self.own is not None and self.own.capability == capability:
            return self._hold_own(state)
        # Another capability's fence: wait until its owner is decided. The next run then reaches that owner in its own
        # way.
        try:
            self._hold(state)
        except Full:
            return self._later("full")
        except TimeoutError:
            return self._later("time")
        return None

    def _hold(self, state: SideState) -> SideState | None:
        """Waits for the capability's owner; returns its state then. Raises Full, TimeoutError."""
        with traces.held(state.capability, state) as span:
            seen = self.middleware.holding.wait(state.capability, _decided, deadline=self.deadline)
            span.note(traces.of(seen))
            return seen

    def _hold_own(self, state: SideState) -> HttpResponseBase | None:
        """Waits for the owner; a response that leads to it, or None when that is this side."""
        bounced = TO in self.request.headers
        if state.bounce_to is None:
            try:
                seen = self._hold(state)
            except TimeoutError:
                seen = owners.sides().get(state.capability)
            except Full:
                if bounced:
                    return self._later("full")
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
                return self._later("again")
            try:
                with waiting.process.one("peers"), traces.forwarded(state, to) as span:
                    passages.became("forwarded", state.capability)
                    answer = forwarding.forward(self.request, self.body, to=to, peer_url=state.peer_url)
                    span.note({"http.response.status_code": answer.status_code})
                    return answer
            except Full:
                return self._later("full")
        passages.became("bounced", state.capability)
        traces.event("bounced", state, to=to)
        response = _led(self.request, state.capability, to)
        # The gateway gives it to the request that follows, which so belongs to the same trace.
        came = self.request.headers.get(tracing.HEADER, "")
        response[tracing.HEADER] = tracing.current_traceparent() if tracing.trace_id() else tracing.follow(came)
        return response


def _led(request: Received, capability: str, to: str) -> HttpResponse:
    """Has the gateway lead the request to that side."""
    response = HttpResponse(status=307)
    response["Location"] = forwarding.own_address(request)
    # The gateway finds the way by these two headers, whatever it makes of the path.
    response[TO] = to
    response[CAPABILITY] = capability
    return response


def _to_the_owner(request: HttpRequest, capability: str) -> HttpResponseBase | None:
    """Leads a read that was sent to a copy to the owner, which is the monolith; None where the gateway cannot."""
    if not body.is_received(request) or not forwarding.has_address(request):
        return None
    return _led(request, capability, "monolith")


def _decided(state: SideState | None) -> bool:
    return state is None or state.writable or state.bounce_to is not None


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
