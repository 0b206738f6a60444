"""Messages without a broker: from the outbox straight to the handlers, one after another, in the test's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chassis.messages import inbox
from chassis.messages.events import Message
from chassis.models import OutboxMessage


class Pump:
    """``others`` handle messages to capabilities that are not in this project; ``events`` and ``handled`` keep all
    messages.

    Raises:
        AssertionError: a message goes to a capability of this project which has no handler for its type.
    """

    def __init__(self, others: Mapping[str, Callable[[Message], object]] | None = None) -> None:
        self._others = others or {}
        self.events: list[Message] = []
        self.handled: list[tuple[str, Message]] = []

    def run(self, *, until: str = "") -> None:
        """Delivers until nothing is left, or until a message of the type ``until`` would be next."""
        while row := OutboxMessage.objects.order_by("id").first():
            if row.type == until:
                return
            message = Message.decode(bytes(row.body))
            row.delete()
            self.deliver(row.destination, message)

    def deliver(self, destination: str, message: Message) -> None:
        """Has one message handled, as often as it is called. An event goes to nobody here, and is only kept."""
        if not destination:
            self.events.append(message)
            return
        self.handled.append((destination, message))
        other = self._others.get(destination)
        if other:
            other(message)
        else:
            assert inbox.handle(message, destination) != "ignored", f"nobody handles {message.type}"

    def take(self, type: str) -> Message:
        """Takes the next message of the type out, so that nobody else gets it."""
        row = OutboxMessage.objects.filter(type=type).order_by("id").first()
        assert row, f"nobody has sent {type}"
        row.delete()
        return Message.decode(bytes(row.body))
