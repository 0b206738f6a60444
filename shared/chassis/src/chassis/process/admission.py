"""How many requests a process works on at a time.

The threads of a process share one interpreter. Where thirty work at once, each waits for the others between any two of
its statements, with its rows locked and its transaction open. A fence, and every other transaction, then waits for all
of that. So only a few work, and the others wait where they hold nothing yet. A thread that waits for something outside
the process gives its place away meanwhile.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import FileResponse, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from prometheus_client import Gauge

from chassis import settings
from chassis.process import body, clients, waiting

# Methods of requests that change nothing, by RFC 9110, section 9.2.1.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

WAITING = Gauge(
    "chassis_admission_waiting", "Requests that wait until another is done with.", multiprocess_mode="livesum"
)


class Admission:
    """``places`` threads at work; the others wait their turn, first come, first served.

    It is not a semaphore: there a thread that leaves and comes again is mostly faster than the thread that it has
    woken, and some thread waits for ever.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._queue: deque[threading.Lock] = deque()
        self._mine = threading.local()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Waits for a place and keeps it; a thread that has one already just goes on."""
        if self._has_place:
            yield
            return
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Gives this thread's place away, if it has one, and takes one again at the end.

        Within a transaction the place is kept: a thread with locked rows must not wait for a turn.
        """
        if not self._has_place or connection.in_atomic_block:
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self._enter()

    def _enter(self) -> None:
        self._await_turn()
        self._mine.place = True

    def _await_turn(self) -> None:
        turn = threading.Lock()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn.acquire()
            self._queue.append(turn)
        with WAITING.track_inprogress():
            # A thread that leaves gives its place to this thread by releasing this lock.
            turn.acquire()

    def _leave(self) -> None:
        self._mine.place = False
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1

    @property
    def _has_place(self) -> bool:
        return getattr(self._mine, "place", False)


_process = Admission(settings.at_work())


class AdmissionMiddleware:
    """Belongs before all that computes or touches the database, and after what must answer in any case.

    A request takes its place when its body is there; see the note "received first" in `chassis.process.body`. A
    streamed answer is sent after the place is free again, and keeps a thread for as long as the application likes. That
    thread counts as one that only waits (`chassis.process.waiting`).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            if body.is_received(request):
                body.of(request)
        except body.RefusedBody as refused:
            return refused.answer
        with clients.asking(request), _process.at_work():
            response = body.release(request, self.get_response(request))
        return _streamed(request, response)


def _streamed(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Refuses a streamed answer where there are too many, unless the request has done something that a refusal would
    deny. A file has an end, so it counts only where its reader is slow."""
    if not response.streaming or isinstance(response, FileResponse):
        return response
    if (end := _begin_answer(request, response)) is not None:
        response._resource_closers.append(end)  # type: ignore[attr-defined]
    elif request.method in SAFE_METHODS:
        response.close()
        response = JsonResponse({"detail": "Too many long answers are on their way; try again."}, status=503)
        response["Retry-After"] = "1"
    return response


def _begin_answer(request: HttpRequest, response: Any) -> Callable[[], None] | None:
    if not isinstance(request, ASGIRequest):
        return waiting.process.end if waiting.process.begin("answers") else None
    # Under ASGI nobody closes an answer that breaks off, or whose client has left before it begins.
    end = waiting.process.begin_anywhere("answers")
    if end is not None:
        parts = response.streaming_content
        response.streaming_content = _async_until(parts, end) if response.is_async else _until(parts, end)
        weakref.finalize(response, end)
    return end


def _until(parts: Iterable[Any], end: Callable[[], None]) -> Iterator[Any]:
    try:
        yield from parts
    finally:
        end()


async def _async_until(parts: AsyncIterable[Any], end: Callable[[], None]) -> AsyncIterator[Any]:
    try:
        async for part in parts:
            yield part
    finally:
        end()


def aside() -> AbstractContextManager[None]:
    """For a wait on something outside the process: other threads work meanwhile."""
    return _process.aside()
