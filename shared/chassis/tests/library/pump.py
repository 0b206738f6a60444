"""A relay, a broker and the consumers in one process: messages go from the outbox straight to their handlers.

Nothing runs by itself: a test says what happens next, so it can have happen whatever could. The outbox is the queue;
messages of one sender with one key stay in order, as they would.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from chassis.messages import inbox
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from chassis.sagas import saga
from chassis.testing.clock import let_deadlines_pass
from django.db import transaction

from library.models import Deed, Inbox, Loan


class Action(NamedTuple):
    """What may happen next; ``fault`` where it is something that should be rare."""

    name: str
    number: int = 0
    fault: bool = False


@dataclass
class Pump:
    """``dead`` are the messages that were set aside, and may come back at any time."""

    dead: list[int] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def actions(self) -> list[Action]:
        """Everything that could happen now."""
        possible = []
        for row in self.heads():
            possible.append(Action("deliver", row.id))
            possible.append(Action("deliver and die before the acknowledgement", row.id, fault=True))
            possible.append(Action("set aside", row.id, fault=True))
        possible += [Action("bring back", number) for number in self.dead]
        if Loan.objects.filter(deadline__isnull=False).exists():
            possible.append(Action("let the deadline pass", fault=True))
        if Loan.objects.filter(state="stuck").exists():
            possible.append(Action("push"))
        return possible

    def perform(self, action: Action) -> None:
        """Lets it happen; one transaction, except for the acknowledgement, which has one of its own."""
        match action.name:
            case "deliver":
                self.deliver(action.number)
                self.acknowledge(action.number)
            case "deliver and die before the acknowledgement":
                self.deliver(action.number)
            case "set aside":
                self.dead = [*self.dead, action.number]
            case "bring back":
                self.dead = [number for number in self.dead if number != action.number]
                self.deliver(action.number)
                self.acknowledge(action.number)
            case "let the deadline pass":
                self.overrun()
            case "push":
                saga.push(Loan.objects.get(state="stuck").pk)

    def heads(self) -> list[OutboxMessage]:
        """The next message of each sender, receiver and key."""
        heads: dict[tuple[str, str, str], OutboxMessage] = {}
        for row in OutboxMessage.objects.exclude(id__in=self.dead).order_by("id"):
            heads.setdefault((row.capability, row.destination, row.key), row)
        return list(heads.values())

    def deliver(self, number: int) -> str:
        """Has one message handled, and leaves it in the queue; what became of it."""
        row = OutboxMessage.objects.get(id=number)
        return inbox.handle(Message.decode(bytes(row.body)), row.destination)

    def acknowledge(self, number: int) -> None:
        OutboxMessage.objects.filter(id=number).delete()

    def overrun(self) -> int:
        """Every deadline passes; how many sagas were advanced."""
        return let_deadlines_pass()

    def drain(self) -> None:
        """Delivers until nothing is left to deliver."""
        while heads := self.heads():
            self.deliver(heads[0].id)
            self.acknowledge(heads[0].id)

    def state(self) -> tuple[object, ...]:
        """All that what happens next depends on; equal in two runs that differ in random ids and times only."""
        waiting = list(OutboxMessage.objects.order_by("id"))
        handled = [str(pk) for pk in Inbox.objects.values_list("message_id", flat=True)]
        loans = Loan.objects.values_list("state", "step", "trail", "attempts", "reason")
        return (
            tuple(str(loan) for loan in loans),
            tuple(Deed.objects.order_by("place", "key").values_list("place", "key", "state", "done", "undone")),
            tuple((row.capability, row.destination, self._name(row), row.id in self.dead) for row in waiting),
            tuple(sorted(self.names.get(pk, pk) for pk in handled)),
        )

    def _name(self, row: OutboxMessage) -> str:
        """Commands have ids that are the same in every run; a reply is named for how many like it there have been."""
        message = Message.decode(bytes(row.body))
        if message.reply_to:
            return str(message.id)
        return self.names.setdefault(str(message.id), message.type)


class Search:
    """Visits every state that can be reached with so many faults, each once; a crash is a rollback to before."""

    def __init__(self, pump: Pump, faults: int) -> None:
        self.pump, self.faults = pump, faults
        self.seen: dict[tuple[object, ...], int] = {}
        self.ends: list[tuple[Action, ...]] = []
        self.path: list[Action] = []

    def run(self, check: object) -> None:
        """Calls ``check`` wherever nothing is left to happen."""
        assert callable(check)
        self._visit(self.faults, check)

    def _visit(self, faults: int, check: object) -> None:
        state = self.pump.state()
        if self.seen.get(state, -1) >= faults:
            return
        self.seen[state] = faults
        actions = self.pump.actions()
        if not [action for action in actions if not action.fault]:
            assert callable(check)
            check(tuple(self.path))
            self.ends.append(tuple(self.path))
        for action in actions:
            if action.fault and not faults:
                continue
            point, dead = transaction.savepoint(), self.pump.dead
            self.path.append(action)
            try:
                self.pump.perform(action)
                self._visit(faults - action.fault, check)
            except BaseException:
                print("failed after", *self.path, sep="\n  ")
                raise
            finally:
                self.path.pop()
                transaction.savepoint_rollback(point)
                self.pump.dead = dead
