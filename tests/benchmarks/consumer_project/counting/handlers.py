from __future__ import annotations

from chassis.messages.events import Message
from chassis.messages.inbox import handles

from counting.models import Effect


@handles("benchmark.thing.done", capability="counting", together=True)
def count(message: Message) -> None:
    """One insert by the ORM, which is about the least that a handler does."""
    Effect.objects.create(message_id=message.id, note=message.data["note"])
