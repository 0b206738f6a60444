"""One advance of a saga: the new state of its row, and the commands that go out with it.

`chassis.sagas.saga` has the notes that are named here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from django.db import transaction
from django.utils import timezone
from prometheus_client import Counter

from chassis.messages import events
from chassis.sagas import ends, traces
from chassis.sagas.steps import Command, Definition, End, SagaError, State, Step

if TYPE_CHECKING:
    from chassis.messages.events import Message

LATE = Counter("chassis_saga_late_replies_total", "Replies to a step that has passed.", ["kind", "step", "outcome"])
ENDED = Counter("chassis_sagas_ended_total", "Sagas that have become done or failed.", ["kind", "state"])


class Turn:
    """One advance of a locked row: first the new state is decided, then all of it is written."""

    def __init__(self, saga: type[Definition], row: Any) -> None:
        self.saga, self.row = saga, row
        self.commands: dict[UUID, Command] = {}

    def enter(self, name: str) -> None:
        """Goes to a step for the first time. Raises SagaError when the saga was there before."""
        if any(mark["step"] == name for mark in self.row.trail):
            raise SagaError(f"{self.row} has been at {name}: a step is made once")
        self.row.trail.append(traces.mark({"step": name, "state": "sent", "asked": 0}))
        self.row.step, self.row.attempts = name, 0
        self.ask()

    def ask(self, *, anew: bool = False) -> bool:
        """Sends the present step's command, or the one that undoes it; returns whether there was one to send."""
        step = self._step(self.row.step)
        mark = next(mark for mark in self.row.trail if mark["step"] == step.name)
        undoing = mark["state"] == "undoing"
        mark["asked"] += anew
        build = step.undo if undoing else step.send
        self.row.state = State.COMPENSATING if undoing else State.RUNNING
        self.row.attempts += 1
        self.row.deadline = timezone.now() + step.within
        return self._send(build and build(self.row), f"{step.name}/{'undo/' if undoing else ''}{mark['asked']}")

    def take(self, message: Message) -> None:
        """Takes a reply: the one that the saga waits for, or a late one."""
        step = next((s for s in self.saga.steps if message.type in (*s.replies, s.undone)), None)
        mark = next((m for m in self.row.trail if step and m["step"] == step.name), None)
        if step is None or mark is None:
            raise SagaError(f"{self.row} has never asked for {message.type}")
        if mark["state"] == "undoing" and message.type == step.undone:
            mark["state"] = "undone"
            self.compensate(self.row.reason)
        elif mark["state"] == "sent" and not self.row.reason and message.type in step.replies:
            mark["state"] = "refused" if message.type in step.refusals else "done"
            self._follow(step, step.replies[message.type](self.row, message))
        else:
            self._take_late(step, mark, message)

    def overrun(self) -> None:
        """Acts on a deadline that has passed."""
        step = self._step(self.row.step)
        if self.row.attempts < step.tries:
            self.ask(anew=step.keyed)
        elif self.row.reason:
            raise SagaError(f"that {step.name} was undone has not been answered")
        else:
            self.compensate(f"{step.name} was not answered")

    def compensate(self, reason: str, *, anew: bool = False) -> None:
        """Undoes the steps that were done or are in doubt, the last one first, and stops at one whose undo must be
        answered."""
        self.row.reason = self.row.reason or reason
        for mark in reversed(self.row.trail):
            step = self._step(mark["step"])
            if step.undo is None or mark["state"] in ("refused", "undone"):
                continue
            mark["state"] = "undoing"
            self.row.step, self.row.attempts = step.name, 0
            if self.ask(anew=anew) and step.undone:
                return
            mark["state"] = "undone"
        self._end(State.FAILED)

    def write(self) -> Any:
        """Writes the row and its commands; returns the row."""
        self.row.error = ""
        self.row.save()
        self.dispatch()
        return self.row

    def dispatch(self) -> None:
        """Writes the commands alone, for a row that was written already."""
        for id, command in self.commands.items():
            events.command(
                id=id,
                to=command.to,
                type=command.type,
                key=command.key,
                data=command.data,
                capability=self.saga.capability,
                reply_to=self.saga.capability,
                correlation=str(self.row.pk),
            )

    def _follow(self, step: Step, outcome: str | End | None) -> None:
        names = [known.name for known in self.saga.steps]
        following = names[names.index(step.name) + 1 :]
        if isinstance(outcome, End) and outcome.reason:
            self.compensate(outcome.reason)
        elif isinstance(outcome, End) or not (outcome or following):
            self._end(State.DONE)
        else:
            self.enter(outcome or following[0])

    def _take_late(self, step: Step, mark: dict[str, Any], message: Message) -> None:
        """Note "in doubt": undoes the step once more where the reply says that something was done that should not
        be."""
        undone = False
        if mark["state"] in ("refused", "undone") and message.type not in (*step.refusals, step.undone):
            undone = self._send(step.undo and step.undo(self.row), f"{step.name}/undo/{message.id}")
            mark["state"] = "undone"
        late = LATE.labels(self.saga.kind, step.name, "undone" if undone else "dropped")
        transaction.on_commit(late.inc)

    def _end(self, state: State) -> None:
        self.row.state, self.row.deadline = state, None
        transaction.on_commit(ENDED.labels(self.saga.kind, state.value).inc)
        ends.tell(self.saga.kind, self.row.key)
        self.saga.ended(self.row)

    def _send(self, command: Command | None, name: str) -> bool:
        if command is not None:
            self.commands[uuid5(self.row.pk, name)] = command
        return command is not None

    def _step(self, name: str) -> Step:
        for step in self.saga.steps:
            if step.name == name:
                return step
        raise SagaError(f"saga {self.saga.kind} has no step {name}")
