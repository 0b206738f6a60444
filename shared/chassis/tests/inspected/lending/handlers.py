from __future__ import annotations

from chassis.messages.events import Message
from chassis.messages.inbox import handles

from inspected.billing import services
from inspected.lending.models import Reader


@handles("loans.loan.over", capability="lending")
def over(message: Message) -> None:  # -> handler-writes
    services.settle_all()


@handles("loans.loan.begun", capability="lending")
def begun(message: Message) -> None:
    Reader.objects.update(due=True)


@handles("loans.loan.lost", capability="billing")
def lost(message: Message) -> None:
    """Billing's own: it runs only where billing is open."""
    services.settle_all()
