"""Messages that were taken in: their handlers, and the row that says that a message has been handled.

The effects of a handler and the message's id are committed together, so a message that comes twice has one effect. The
table belongs to the capability and moves with it: the next owner knows what this side has handled.

Note "one transaction for several": a transaction costs more than what a short handler does in it. So messages of
different subjects may be handled in one transaction, where their handlers allow it. All of them or none have their
effect. Whatever goes wrong, each of them is then handled by itself, as if nothing had been tried: so one message cannot
fail because of another. A handler has to allow it, because rows that it locks stay locked while the others run: two
transactions that lock the same rows, each in another sequence, would wait for each other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models, transaction
from django.utils import timezone

from chassis import settings
from chassis.database import isolation, leases
from chassis.ownership import owners, refusals
from chassis.ownership.refusals import Seen

if TYPE_CHECKING:
    from chassis.messages.events import Message

logger = logging.getLogger("chassis.messages.inbox")

F = TypeVar("F", bound=Callable[..., Any])
Outcome = Literal["handled", "duplicate", "older", "ignored"]

LATELY = 0.1  # the weight of a handler's last run in its pace

TAKE = """
INSERT INTO {table} (message_id, type, subject, version, handled_at) VALUES (%s, %s, %s, %s, clock_timestamp())
ON CONFLICT (message_id) DO NOTHING
"""
TAKE_SEVERAL = """
INSERT INTO {table} (message_id, type, subject, version, handled_at)
SELECT *, clock_timestamp() FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (message_id) DO NOTHING RETURNING message_id
"""
TAKE_NEWEST = """
INSERT INTO {table} (message_id, type, subject, version, handled_at)
SELECT %s, %s, %s, %s, clock_timestamp()
WHERE NOT EXISTS (SELECT FROM {table} WHERE subject = %s AND type = %s AND version > %s)
ON CONFLICT (message_id) DO NOTHING
"""
KNOWN = "SELECT EXISTS (SELECT FROM {table} WHERE message_id = %s)"


class InboxRow(models.Model):
    """A message that has been handled; each capability has a table of its own, ``<capability>_inbox``."""

    message_id: models.UUIDField[UUID, UUID] = models.UUIDField(primary_key=True)
    type: models.TextField[str, str] = models.TextField()
    subject: models.TextField[str, str] = models.TextField()
    version: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)
    handled_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True
        indexes = (models.Index(fields=["subject", "type", "version"], name="%(app_label)s_inbox_newest"),)

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"


@dataclass(frozen=True, slots=True)
class Handler:
    """The function for one type of message, and how it is called."""

    type: str
    capability: str
    function: Callable[..., Any]
    before: Callable[[Message], Any] | None = None
    newest_only: bool = False
    together: bool = False


class FencedError(Exception):
    """The handler met a fence; nothing of it was committed. ``capability`` names the capability that is closed here."""

    def __init__(self, capability: str) -> None:
        super().__init__(f"{capability} is not open here: the message is its owner's")
        self.capability = capability


_handlers: dict[tuple[str, str], Handler] = {}
_paces: dict[tuple[str, str], float] = {}


def handles(
    type: str,
    *,
    capability: str,
    before: Callable[[Message], Any] | None = None,
    newest_only: bool = False,
    together: bool = False,
) -> Callable[[F], F]:
    """Registers the function that handles a type of message for a capability.

    The function gets the message and runs in one transaction with the inbox row. ``before`` runs first and outside any
    transaction: a call over the network belongs there. What it returns is the function's second argument. It may run
    again for the same message, so it uses the message's id as its idempotency key. ``newest_only`` drops a message that
    is older than the last handled message of its subject and type. ``together`` allows the function to share its
    transaction with those of other subjects, which costs less: say so where it is short, and locks no row that others
    lock, too.

    Raises:
        ImproperlyConfigured: when another function handles the type for the capability already, or when ``together``
            is said with ``before`` or ``newest_only``.
    """
    if together and (before is not None or newest_only):
        raise ImproperlyConfigured(f"{type}: a handler with before or newest_only is alone in its transaction")

    def register(function: F) -> F:
        known = _handlers.get((capability, type))
        if known is not None and _name(known.function) != _name(function):
            raise ImproperlyConfigured(
                f"{type} is handled for {capability} by {_name(known.function)} and by {_name(function)}: leave one"
            )
        _handlers[capability, type] = Handler(type, capability, function, before, newest_only, together)
        return function

    return register


def handle(message: Message, capability: str) -> Outcome:
    """Runs the capability's handler for the message in one transaction; the handler has its effect at most once.

    ``ignored`` says that nothing handles the type. ``older`` says that a newer message of the subject was handled
    before.

    Raises:
        FencedError: when a statement met a fence, also where the handler swallowed the error. Nothing was committed.
        OperationalError: when the session was lost, also where the handler swallowed that error.
    """
    handler = _handlers.get((capability, message.type))
    if handler is None:
        return "ignored"
    with refusals.watching() as seen:
        try:
            outcome = _handle(handler, message, seen)
        except Exception as error:
            refused = seen.refused or owners.refused_capability(error)
            if refused is None:
                raise
            raise FencedError(refused) from error
    if seen.refused is not None:
        _tell_of_late_refusal(seen.refused, message.type)
    return outcome


def handle_together(
    messages: Sequence[Message], capability: str, around: Callable[[Message], AbstractContextManager[object]]
) -> list[Outcome]:
    """Runs the capability's handlers for messages of different subjects in one transaction; see the note "one
    transaction for several".

    ``around`` is entered while a message's handler runs. Each message has a `pace`.

    Raises:
        Exception: whatever went wrong with any of them, and nothing was committed.
    """
    with refusals.watching() as seen, isolation.read_committed():
        taken = _take_several(_table(capability), messages)
        for message in messages:
            if message.id in taken:
                with around(message):
                    _run(_handlers[capability, message.type], message)
        if connection.needs_rollback:
            raise transaction.TransactionManagementError(
                "a handler has asked for a rollback, which would be everybody's"
            )
        seen.check()
    if seen.refused is not None:
        _tell_of_late_refusal(seen.refused, "several")
    return ["handled" if message.id in taken else "duplicate" for message in messages]


def pace(message: Message, capability: str) -> float | None:
    """The seconds that the message's handler has taken lately; None where it may not share a transaction, or has not
    run yet."""
    handler = _handlers.get((capability, message.type))
    if handler is None or not handler.together:
        return None
    return _paces.get((capability, message.type))


def _tell_of_late_refusal(capability: str, type: str) -> None:
    """A callback after the commit met the fence: the commit stands."""
    logger.error("fence_met_after_commit", extra={"capability": capability, "type": type})


def _run(handler: Handler, message: Message, *given: Any) -> None:
    began = time.perf_counter()
    handler.function(message, *given)
    took, key = time.perf_counter() - began, (handler.capability, handler.type)
    _paces[key] = LATELY * took + (1 - LATELY) * _paces.get(key, took)


def _handle(handler: Handler, message: Message, seen: Seen) -> Outcome:
    table = _table(handler.capability)
    given: tuple[Any, ...] = ()
    if handler.before is not None:
        if _known(table, message):
            return "duplicate"
        given = (handler.before(message),)
        seen.check()
    with isolation.read_committed():
        outcome = _take(table, message, newest_only=handler.newest_only)
        if outcome == "handled":
            _run(handler, message, *given)
        seen.check()
    return outcome


def handled_types(capability: str) -> Collection[str]:
    """The types of message that the capability has a handler for."""
    return {type for owner, type in _handlers if owner == capability}


def handlers() -> Collection[Handler]:
    """All handlers, of whichever capability."""
    return list(_handlers.values())


def model_of(capability: str) -> type[InboxRow]:
    """The capability's inbox, as ``CHASSIS_INBOXES`` names it.

    Raises:
        ImproperlyConfigured: when it names none, or none that exists.
    """
    label = settings.inboxes().get(capability)
    if label is None:
        raise ImproperlyConfigured(f"CHASSIS_INBOXES names no inbox for {capability}: add its model's label")
    try:
        model = apps.get_model(label)
    except LookupError as error:
        raise ImproperlyConfigured(f"CHASSIS_INBOXES: there is no model {label}") from error
    if not issubclass(model, InboxRow):
        raise ImproperlyConfigured(f"CHASSIS_INBOXES: {label} is no InboxRow")
    return model


def _table(capability: str) -> str:
    return connection.ops.quote_name(model_of(capability)._meta.db_table)


def _known(table: str, message: Message) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(KNOWN.format(table=table), (message.id,))
        return bool(cursor.fetchone()[0])


def _take(table: str, message: Message, *, newest_only: bool) -> Outcome:
    with connection.cursor() as cursor:
        row = (message.id, message.type, message.subject, message.version)
        if not newest_only:
            cursor.execute(TAKE.format(table=table), row)
            return "handled" if cursor.rowcount else "duplicate"
        # Two messages of one subject must not both look before one of them has written: the second must see the row of
        # the first.
        leases.turn(f"{table} {message.type} {message.subject}")
        cursor.execute(TAKE_NEWEST.format(table=table), (*row, message.subject, message.type, message.version))
        if cursor.rowcount:
            return "handled"
    return "duplicate" if _known(table, message) else "older"


def _take_several(table: str, messages: Sequence[Message]) -> set[UUID]:
    """The ids of those that are to be handled."""
    columns = zip(*((one.id, one.type, one.subject, one.version) for one in messages), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(TAKE_SEVERAL.format(table=table), [list(column) for column in columns])
        return {number for (number,) in cursor.fetchall()}


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
