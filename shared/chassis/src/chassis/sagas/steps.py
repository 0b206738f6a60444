"""The parts of a saga: its row, its steps, and what can become of both. `chassis.sagas.saga` advances them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from uuid import UUID, uuid4

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from chassis.messages.events import Message


class SagaError(Exception):
    """The saga does not allow what was asked of it; the text says why."""


class UnknownSagaError(SagaError):
    """There is no such saga here."""


class UndecidedError(SagaError):
    """Another saga of the kind is deciding the key."""


class State(models.TextChoices):
    RUNNING = "running"  # waits for the reply to its step
    COMPENSATING = "compensating"  # waits until its step is undone
    STUCK = "stuck"  # waits for a person: `manage.py sagas push`
    DONE = "done"
    FAILED = "failed"  # and all of it undone


UNDECIDED = (State.RUNNING, State.COMPENSATING, State.STUCK)


class SagaRow(models.Model):
    """One saga; each capability has a table of its own. ``reason`` says why it fails, and is empty unless it fails.

    ``trail`` has the steps that it has reached. Each is ``sent``, ``done``, ``refused``, ``undoing`` or ``undone``, and
    has the number of times that its command was ``asked`` anew. ``attempts`` counts the messages for the present step.
    """

    id: models.UUIDField[UUID, UUID] = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind: models.TextField[str, str] = models.TextField()
    key: models.TextField[str, str] = models.TextField()
    step: models.TextField[str, str] = models.TextField()
    state: models.CharField[str, str] = models.CharField(max_length=16, choices=State, default=State.RUNNING)
    trail = models.JSONField(default=list)
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    deadline: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)
    attempts: models.IntegerField[int, int] = models.IntegerField(default=0)
    reason: models.TextField[str, str] = models.TextField(default="", blank=True)
    error: models.TextField[str, str] = models.TextField(default="", blank=True)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now, editable=False)
    updated_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "key"),
                condition=models.Q(state__in=UNDECIDED),
                name="%(app_label)s_%(class)s_undecided",
            ),
        )
        indexes = (
            models.Index("deadline", name="%(app_label)s_%(class)s_due", condition=models.Q(deadline__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    def awaits(self, step: str) -> bool:
        """Whether the saga waits for the reply to this step."""
        return self.state == State.RUNNING and self.step == step and not self.reason


@dataclass(frozen=True, slots=True)
class Command:
    """What a step asks of a capability."""

    to: str
    type: str
    key: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """How a handler ends its saga; an end with a reason is a failure."""

    reason: str = ""


def finish() -> End:
    """Nothing is left to do."""
    return End()


def fail(reason: str) -> End:
    """Everything that was done is to be undone."""
    return End(reason or "failed")


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what becomes of its replies.

    ``replies`` has a handler by type of reply. It gets the row, whose ``data`` it may change, and the message; it
    returns the name of the next step, `finish()`, `fail(reason)`, or None for the step that is defined next.
    ``refusals`` are the types of reply that say that nothing was done.

    ``send`` makes the command; it is None where the saga only waits. ``undo`` makes the command that undoes the step,
    or None when there is nothing to undo. ``undone`` may name the reply to that command. The saga then waits for it
    before it undoes the step before, because undos to different capabilities may overtake each other.

    Without a reply ``within`` its time the command is sent again until the step had its ``tries``. For ``keyed`` see
    Note "the same message" in `chassis.sagas.saga`.
    """

    name: str
    replies: Mapping[str, Callable[[Any, Message], str | End | None]]
    send: Callable[[Any], Command] | None = None
    undo: Callable[[Any], Command | None] | None = None
    undone: str = ""
    refusals: Collection[str] = ()
    within: timedelta = timedelta(seconds=10)
    tries: int = 1
    keyed: bool = False


class Definition(Protocol):
    """What an advance needs to know of a saga; the saga's class provides it."""

    kind: ClassVar[str]
    capability: ClassVar[str]
    steps: ClassVar[tuple[Step, ...]]

    @classmethod
    def ended(cls, row: Any) -> None:
        """Called in the transaction in which the saga becomes done or failed."""
