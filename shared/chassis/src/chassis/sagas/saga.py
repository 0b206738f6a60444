"""Sagas: decisions that several capabilities make together, step by step, and undo together when a step fails.

A saga is a row. Each step sends a command and waits for its reply until a deadline. The row, the inbox row of the
handled message and the next command are written in one transaction: a crash leaves all of them or none. The row moves
with its capability, and the new owner goes on with it.

Note "in doubt": a step without a reply may have been done or not, and is undone with the rest. So an undo must be
harmless where nothing was done, and a command that comes after its undo must do nothing; both have the same key, and
order is kept per key. A reply that comes even later is *late*: if it says that something was done, that is undone once
more.

Note "the same message": when a deadline passes, the command is sent again under its id. Either its receiver never
handled the first one, or its inbox drops the second one and the reply is on its way; the handler need not do anything
for this. A *lost* reply does not come back by this. A step is ``keyed`` when its receiver knows by the command's key
what it did, and answers again. Then each try is a message of its own, as is each `push` by a person.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, OperationalError, connection, models, transaction
from django.utils import timezone

from chassis.database import isolation
from chassis.ownership import owners, refusals
from chassis.sagas import ends, traces
from chassis.sagas.steps import (
    UNDECIDED,
    Command,
    End,
    SagaError,
    SagaRow,
    State,
    Step,
    UndecidedError,
    UnknownSagaError,
    fail,
    finish,
)
from chassis.sagas.turn import Turn

if TYPE_CHECKING:
    from chassis.messages.events import Message

__all__ = [
    "Command",
    "End",
    "Saga",
    "SagaError",
    "SagaRow",
    "State",
    "Step",
    "UndecidedError",
    "UnknownSagaError",
    "expire",
    "fail",
    "find",
    "finish",
    "on_reply",
    "push",
    "registry",
    "row_models",
]

logger = logging.getLogger("chassis.sagas.saga")

POSTPONED = timedelta(seconds=5)  # after an error of the database, which is not the saga's fault

registry: dict[str, type[Saga]] = {}


class Saga:
    """Base of definitions; ``model`` is the label of the rows' model."""

    kind: ClassVar[str]
    model: ClassVar[str]
    capability: ClassVar[str]
    steps: ClassVar[tuple[Step, ...]]

    def __init_subclass__(cls) -> None:
        for names in ([step.name for step in cls.steps], cls.reply_types()):
            if len(set(names)) < len(names):
                raise ImproperlyConfigured(f"saga {cls.kind}: a step or a type of reply is there twice: {names}")
        known = registry.setdefault(cls.kind, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ImproperlyConfigured(f"saga {cls.kind} is defined twice")

    @classmethod
    def begin(cls, *, key: str, data: Mapping[str, Any]) -> Any:
        """Begins a saga, whose first command goes out with the caller's transaction; returns its row.

        Raises UndecidedError while another one decides the key, RuntimeError outside a transaction.
        """
        _require_transaction("Saga.begin")
        turn = Turn(cls, cls.rows().model(kind=cls.kind, key=key, data=dict(data)))
        with traces.turning(cls.kind, cls.steps[0].name, key=turn.row.pk) as span:
            turn.enter(cls.steps[0].name)
            try:
                with transaction.atomic():
                    turn.row.save(force_insert=True)
            except IntegrityError as error:
                raise UndecidedError(f"{turn.row} is being decided by an earlier saga") from error
            turn.dispatch()
            traces.turned(span, turn.row)
        return turn.row

    @classmethod
    def deciding(cls, key: str) -> bool:
        """Whether the key is being decided. The answer stays true only while the caller holds the lock under which
        sagas begin."""
        return cls.rows().filter(kind=cls.kind, key=key, state__in=UNDECIDED).exists()

    @classmethod
    def await_decision(cls, key: str, seconds: float) -> bool:
        """Waits until nothing decides the key; False when ``seconds`` pass first. Do not call it within a
        transaction."""
        return ends.wait(cls.kind, key, lambda: not cls.deciding(key), seconds)

    @classmethod
    def ended(cls, row: Any) -> None:
        """Override: called in the transaction in which the saga becomes done or failed."""

    @classmethod
    def rows(cls) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = apps.get_model(cls.model)._default_manager.all()
        return rows

    @classmethod
    def reply_types(cls) -> list[str]:
        """The types of message for which `on_reply` is to be called."""
        return [type for step in cls.steps for type in (*step.replies, step.undone) if type]


def on_reply(message: Message) -> Any:
    """Advances the saga that the message's correlation names, in the caller's transaction; returns its row.

    Where a capability answers itself, the handler of its command calls this with ``dataclasses.replace(command,
    type=…, data=…)``. Raises UnknownSagaError, SagaError when the saga never asked, RuntimeError outside a transaction.
    """
    _require_transaction("saga.on_reply")
    turn = _locked(message.correlation)
    with traces.turning(turn.row.kind, turn.row.step, key=turn.row.pk) as span:
        turn.take(message)
        turn.write()
        traces.turned(span, turn.row)
    return turn.row


def push(saga_id: UUID | str, *, compensate: bool = False) -> Any:
    """Asks again for what the saga waits for, in a new message; or gives up and undoes all. Returns its row.

    Raises UnknownSagaError, SagaError when it has ended.
    """
    with isolation.read_committed():
        turn = _locked(saga_id)
        if turn.row.state not in UNDECIDED:
            raise SagaError(f"{turn.row} has ended: it is {turn.row.state}")
        turn.row.attempts, turn.row.error = 0, ""
        if compensate or turn.row.reason:
            turn.compensate("given up by hand", anew=True)
        else:
            turn.ask(anew=True)
        return turn.write()


def expire(limit: int = 100) -> int:
    """Advances the sagas that have passed their deadline and are owned here, each in its own transaction; returns how
    many.

    Several workers may do so at once. A saga whose own code raises is stuck from then on. A saga that met an error of
    the database is tried again later. Raises OperationalError when the database is away.
    """
    kinds: dict[type[models.Model], list[str]] = {}
    for kind, saga in registry.items():
        if owners.is_open(saga.capability):
            kinds.setdefault(saga.rows().model, []).append(kind)
    count = 0
    for model, known in kinds.items():
        try:
            while count < limit and _expire_one(model, known):
                count += 1
        except DatabaseError as error:
            if owners.refused_capability(error) is None:
                raise  # a fence that was put up meanwhile ends the work on this table, and is no error
    return count


def _expire_one(model: type[models.Model], kinds: list[str]) -> bool:
    with isolation.read_committed():
        due = model._default_manager.select_for_update(skip_locked=True).order_by("deadline")
        row: Any = due.filter(kind__in=kinds, deadline__lte=timezone.now()).first()
        if row is None:
            return False
        turn = Turn(registry[row.kind], row)
        try:
            turning = traces.turning(row.kind, row.step, key=row.pk, parent=traces.origin(row))
            with refusals.watching() as seen, turning as span, transaction.atomic():
                span.note({"strangler.saga.overrun": True})
                turn.overrun()
                turn.write()
                seen.check()
                traces.turned(span, row)
        except Exception as error:
            if owners.refused_capability(error):
                raise
            logger.exception("saga_overrun_failed", extra={"saga": str(row.pk), "kind": row.kind, "step": row.step})
            passing = isinstance(error, OperationalError)
            model._default_manager.filter(pk=row.pk).update(
                error=f"{type(error).__name__}: {error}"[:500],
                updated_at=timezone.now(),
                **({"deadline": timezone.now() + POSTPONED} if passing else {"deadline": None, "state": State.STUCK}),
                **({} if passing else {"reason": row.reason}),
            )
        return True


def find(saga_id: UUID | str, *, lock: bool = False) -> Any:
    """The row of the saga, of whatever kind. Raises UnknownSagaError where it is not here."""
    try:
        pk = UUID(str(saga_id))
    except ValueError:
        raise UnknownSagaError(f"{saga_id!r} is no saga's id") from None
    for model in row_models():
        rows = model._default_manager.select_for_update() if lock else model._default_manager.all()
        if (row := rows.filter(pk=pk).first()) is not None:
            return row
    raise UnknownSagaError(f"there is no saga {pk}")


def row_models() -> set[type[models.Model]]:
    """The models of all definitions that this process knows."""
    return {saga.rows().model for saga in registry.values()}


def _locked(saga_id: UUID | str) -> Turn:
    row = find(saga_id, lock=True)
    if row.kind not in registry:
        raise UnknownSagaError(f"{row} is of a kind that this process does not know")
    return Turn(registry[row.kind], row)


def _require_transaction(call: str) -> None:
    if not connection.in_atomic_block:
        raise RuntimeError(f"{call} belongs into the transaction of what it decides: open transaction.atomic()")
