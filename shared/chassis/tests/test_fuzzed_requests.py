"""Whatever a client sends comes to a view the same way at each run: a real Envoy before both sides of a move."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chassis.ownership import owners
from chassis.ownership.holding import Holding
from django.db import connection
from django.test import override_settings
from library import fuzzing
from library.gateway import Gateway
from library.side import Side
from library.urls import moment
from library.waiting import until
from library.wire import Wire

pytest.importorskip("envoy")
pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]

REQUESTS, AGAIN = 200, 15
ADMISSION, FENCE = "chassis.process.admission.AdmissionMiddleware", "chassis.ownership.fence.FenceMiddleware"

Answer = tuple[int, Any]


@pytest.fixture
def stage(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, holding: Holding, tmp_path: Path
) -> Iterator[tuple[Gateway, Side]]:
    settings.ALLOWED_HOSTS = ["library.example"]
    monkeypatch.setattr(owners, "_present", set())
    moment.passed, moment.planned, moment.writes = 0, None, False
    with override_settings(MIDDLEWARE=[ADMISSION]):
        other = Wire()
    with other:
        side = Side(other.url, methods="")
        with override_settings(MIDDLEWARE=[ADMISSION, FENCE]):
            here = Wire()
        with here, Gateway(tmp_path, here=here.url, other=other.url) as gateway:
            yield gateway, side
        side.remove()


def answer(gateway: Gateway, raw: bytes) -> Answer:
    """With all that the view saw of it."""
    status, content = gateway.send(raw)
    if status != 201 or not content:
        return status, content
    seen = json.loads(content)
    if not seen["body"]:
        # Of nothing, Envoy says by itself how long it is: after chunks otherwise than of a bounce.
        seen["headers"].pop("Content-Length", None)
    # A bounce says which trace it belongs to, also where the request did not.
    seen["headers"].pop("Traceparent", None)
    return status, seen


def test_a_request_is_the_same_at_its_first_second_bounced_and_forwarded_run(
    stage: tuple[Gateway, Side], settings: Any, holding: Holding
) -> None:
    gateway, side = stage
    requests = list(fuzzing.requests(REQUESTS, 1))

    first = [answer(gateway, raw) for raw in requests]
    assert Counter(status for status, _ in first)[201] > REQUESTS // 3

    written = [(raw, seen) for raw, seen in zip(requests, first, strict=True) if _writes(raw, seen)][:AGAIN]
    for raw, seen in written:
        assert _held(gateway, side, holding, raw) == seen, raw

    side.fence()
    side.hand_over()
    before = moment.passed
    for raw, seen in zip(requests, first, strict=True):
        assert answer(gateway, raw) == seen, raw
    settings.CHASSIS_BOUNCE_LIMIT = -1
    for raw, seen in zip(requests, first, strict=True):
        assert answer(gateway, raw) == seen, raw
    assert moment.passed - before == 2 * sum(status == 201 for status, _ in first)


def _writes(raw: bytes, seen: Answer) -> bool:
    return seen[0] == 201 and not raw.startswith((b"GET", b"HEAD", b"OPTIONS"))


def _held(gateway: Gateway, side: Side, holding: Holding, raw: bytes) -> Answer:
    """The answer of the second run: the first one meets a fence, which is lifted again."""
    moment.planned, moment.writes = side.fence, True
    held = threading.Thread(target=lambda: (until(lambda: holding._waiting == 1), side.reopen()))
    held.start()
    seen = answer(gateway, raw)
    held.join(60)
    moment.writes = False
    return seen
