"""What is counted of requests that come to a closed side or meet its fence, and of what workers look after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chassis import settings as chassis_settings
from chassis.messages import depths
from chassis.ownership.holding import Holding
from chassis.sagas import ages, saga
from chassis.sagas.saga import State
from django.db import connection
from library.asking import Ask, asking
from library.desk import begin
from library.models import Loan
from library.peer import Peer
from library.side import Side
from library.urls import moment
from library.waiting import until
from prometheus_client import REGISTRY

pytestmark = [
    pytest.mark.urls("library.urls"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
]


@pytest.fixture
def ask(settings: Any, holding: Holding) -> Iterator[Ask]:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "chassis.ownership.fence.FenceMiddleware"]
    moment.passed, moment.planned = 0, None
    with asking() as ask:
        yield ask


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def became(outcome: str) -> float:
    return value("chassis_fence_requests_total", capability="books", outcome=outcome)


def holds() -> float:
    return value("chassis_fence_hold_seconds_count", capability="books")


def test_what_has_not_happened_is_shown_as_zero(side: Side, ask: Ask) -> None:
    ask("/books").result(60)

    for outcome in ("bounced", "forwarded", "run_again", "turned_away"):
        labels = {"capability": "books", "outcome": outcome}
        assert REGISTRY.get_sample_value("chassis_fence_requests_total", labels) is not None


def test_a_request_that_is_held_and_bounced_is_counted_as_both(side: Side, ask: Ask, holding: Holding) -> None:
    before = became("bounced"), holds()
    side.fence()
    answer = ask("/books")
    until(lambda: holding._waiting == 1)
    assert value("chassis_fence_held_requests", capability="books") == 1

    side.hand_over()

    assert answer.result(60).status_code == 307
    assert (became("bounced"), holds()) == (before[0] + 1, before[1] + 1)
    assert value("chassis_fence_held_requests", capability="books") == 0
    labels = {"capability": "books", "side": "monolith", "method": "POST", "route": "/books", "status": "307"}
    assert value("chassis_http_requests_total", **labels) >= 1


def test_a_statement_that_a_fence_refuses_is_a_hit_and_its_request_runs_again(
    side: Side, ask: Ask, holding: Holding
) -> None:
    before = value("chassis_fence_hits_total", capability="books"), became("run_again")
    moment.planned = side.fence
    answer = ask("/books")
    until(lambda: holding._waiting == 1)

    side.reopen()

    assert answer.result(60).status_code == 201
    after = value("chassis_fence_hits_total", capability="books"), became("run_again")
    assert after == (before[0] + 1, before[1] + 1)


def test_a_request_that_is_turned_away_is_counted(side: Side, ask: Ask, settings: Any) -> None:
    settings.CHASSIS_HOLD_SECONDS = 0.1
    before = became("turned_away")
    moment.planned = side.fence

    assert ask("/visits").result(60).status_code == 503

    assert became("turned_away") == before + 1


def test_a_body_that_no_gateway_can_repeat_is_counted_as_forwarded(settings: Any, ask: Ask) -> None:
    settings.CHASSIS_BOUNCE_LIMIT = 1
    before = became("forwarded")
    with Peer() as peer:
        side = Side(peer.url)
        side.fence()
        side.hand_over()
        ask("/books").result(60)
        side.remove()

    assert became("forwarded") == before + 1


@pytest.mark.usefixtures("places")
def test_sagas_are_counted_by_state_with_the_age_of_the_oldest() -> None:
    begin("loan-1")
    stuck = begin("loan-2")
    Loan.objects.filter(pk=stuck.pk).update(state=State.STUCK)

    ages.measure()

    kind = stuck.kind
    counts = {state: value("chassis_sagas", kind=kind, state=state) for state in ("running", "compensating", "stuck")}
    assert counts == {"running": 1, "compensating": 0, "stuck": 1}
    assert value("chassis_saga_oldest_age_seconds", kind=kind, state="stuck") > 0
    assert value("chassis_saga_oldest_age_seconds", kind=kind, state="compensating") == 0


@pytest.mark.usefixtures("places")
def test_sagas_of_another_owner_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    row = begin("loan-1")
    monkeypatch.setattr(saga.owners, "is_open", lambda capability: False)

    ages.measure()

    assert value("chassis_sagas", kind=row.kind, state="running") == 0


def test_messages_in_the_queues_are_counted(post: Any) -> None:
    post.put_body(b"one")
    post.put_body(b"two")

    until(lambda: depths.measure() or value("chassis_queue_messages", capability="books") == 2)
    assert value("chassis_dead_letters", capability="books") == 0


def test_a_queue_that_is_not_there_hides_no_other(post: Any, settings: Any) -> None:
    settings.CHASSIS_CONSUMES = {"not-declared": [], **chassis_settings.consumes()}
    post.put_body(b"one")

    until(lambda: depths.measure() or value("chassis_queue_messages", capability="books") == 1)


def test_a_broker_that_is_away_is_told_once(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.CHASSIS_BROKER_URL = "amqp://nobody@127.0.0.1:1//"

    depths.measure()
    depths.measure()

    assert [record.message for record in caplog.records].count("queues_not_measured") == 1
    settings.CHASSIS_BROKER_URL = "memory://"
    depths.measure()
