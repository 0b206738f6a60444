"""What a test does at the desk: it begins a loan, and hears what the places reply."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from chassis.messages.events import Message
from chassis.models import OutboxMessage
from chassis.sagas import saga
from chassis.sagas.saga import Saga
from django.db import connections, transaction

from library.lending import Lending
from library.models import Loan


def begin(key: str = "loan-1", kind: type[Saga] = Lending) -> Loan:
    with transaction.atomic():
        return kind.begin(key=key, data={"title": "Emma"})


def reply(row: Loan, type: str, **data: Any) -> Message:
    """As a place would send it."""
    return Message(
        id=uuid4(),
        type=type,
        source="/x",
        subject=row.key,
        time=datetime.now(UTC),
        version=0,
        data=data,
        capability=type.split(".", maxsplit=1)[0],
        correlation=str(row.pk),
    )


def hear(message: Message) -> Loan:
    with transaction.atomic():
        return saga.on_reply(message)


def sent() -> list[tuple[str, str]]:
    """What waits to go out, oldest first."""
    return list(OutboxMessage.objects.order_by("id").values_list("type", "destination"))


def ids(type: str) -> list[UUID]:
    return list(OutboxMessage.objects.filter(type=type).order_by("id").values_list("message_id", flat=True))


def undoing_the_till() -> Loan:
    row = begin()
    for type in ("stacks.done", "till.done", "printer.refused"):
        row = hear(reply(row, type))
    return row


def in_thread(work: Any) -> Any:
    try:
        return work()
    finally:
        connections.close_all()
