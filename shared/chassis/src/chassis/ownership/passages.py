"""What is counted of requests that come to a side which is closed, or meet its fence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

from django.http.response import HttpResponseBase
from prometheus_client import Counter, Gauge, Histogram

from chassis.process.routes import bounded

Outcome = Literal["bounced", "forwarded", "run_again", "turned_away", "half_done", "put_off", "never"]
OUTCOME = "fence_outcome"  # of an answer that no view has given
OUTCOMES: tuple[Outcome, ...] = ("bounced", "forwarded", "run_again", "turned_away", "half_done", "put_off", "never")
# A request is held for CHASSIS_HOLD_SECONDS at most, which are five unless set.
BUCKETS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

HITS = Counter("chassis_fence_hits_total", "Statements that a fence has refused.", ["capability"])
REQUESTS = Counter(
    "chassis_fence_requests_total",
    "Requests to a closed side, or that met a fence, by what became of them; a request may count more than once.",
    ["capability", "outcome"],
)
HELD = Gauge(
    "chassis_fence_held_requests", "Requests that wait for an owner now.", ["capability"], multiprocess_mode="livesum"
)
HOLD = Histogram(
    "chassis_fence_hold_seconds",
    "Time for which requests were held; its count is how many.",
    ["capability"],
    buckets=BUCKETS_SECONDS,
)


def known(capabilities: Iterable[str]) -> None:
    """Shows a zero for what has not happened yet: a counter that begins with its first event hides that event from
    Prometheus' ``increase``."""
    for capability in capabilities:
        _begin(bounded(capability))


def hit(capability: str) -> None:
    """A fence has refused a statement."""
    HITS.labels(bounded(capability)).inc()


def became(outcome: Outcome, capability: str) -> None:
    """A request has ended in that way, or is run again."""
    REQUESTS.labels(bounded(capability), outcome).inc()


def marked(outcome: Outcome, response: HttpResponseBase) -> HttpResponseBase:
    """The same answer, which says what has become of its request."""
    setattr(response, OUTCOME, outcome)
    return response


def ended(response: HttpResponseBase, capability: str) -> None:
    """Counts the request if its answer is `marked`."""
    outcome: Outcome | None = getattr(response, OUTCOME, None)
    if outcome is not None:
        became(outcome, capability)


@contextmanager
def held(capability: str) -> Iterator[None]:
    """A request waits for an owner inside."""
    began, label = time.perf_counter(), bounded(capability)
    with HELD.labels(label).track_inprogress():
        try:
            yield
        finally:
            HOLD.labels(label).observe(time.perf_counter() - began)


@cache
def _begin(capability: str) -> None:
    HITS.labels(capability)
    HELD.labels(capability)
    HOLD.labels(capability)
    for outcome in OUTCOMES:
        REQUESTS.labels(capability, outcome)
