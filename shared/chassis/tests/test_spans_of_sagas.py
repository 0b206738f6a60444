"""The turns of a saga are in the trace of the request that began it, also those that only the clock begins."""

from __future__ import annotations

import pytest
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from chassis.process import tracing
from django.db import connection
from library.desk import begin, hear, reply
from library.models import Loan
from library.pump import Pump
from library.recorded import Recorded

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL"),
    pytest.mark.usefixtures("places"),
]


def test_a_turn_of_the_clock_continues_the_turn_that_came_to_its_step(recorded: Recorded, pump: Pump) -> None:
    with tracing.span("a request"):
        begin()

    assert pump.overrun() == 1

    began, overrun = recorded.named("saga lending step stacks")
    assert overrun.parent.span_id == began.context.span_id
    assert overrun.attributes["strangler.saga.overrun"] is True
    assert overrun.attributes["strangler.saga.state"] == "failed"
    assert recorded.parent_of(recorded.one("create stacks.undo")) == "saga lending step stacks"
    assert len({span.context.trace_id for span in recorded.spans if span.name != "pump"}) == 1


def test_a_message_carries_the_span_of_its_own_row(recorded: Recorded) -> None:
    row = begin()

    hear(reply(row, "stacks.done"))

    for name in ("stacks.do", "till.do"):
        span = recorded.one(f"create {name}")
        (stored,) = OutboxMessage.objects.filter(type=name)
        carried = Message.decode(bytes(stored.body)).traceparent
        assert carried == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_without_a_tracer_a_trail_is_what_it_always_was() -> None:
    begin()

    assert Loan.objects.get().trail == [{"step": "stacks", "state": "sent", "asked": 0}]
