"""The messages that lie somewhere: waiting in the outbox, published and kept, or dead. They can be sent again or thrown
away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import models, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chassis import settings
from chassis.messages import inbox, outbox
from chassis.messages.deadletters import FAILED_AT, KEY, TYPE, Box, Letter
from chassis.models import OutboxMessage, PublishedMessage
from chassis.ownership import owners

Source = Literal["outbox", "published", "dead"]
SOURCES: tuple[Source, ...] = ("outbox", "published", "dead")
BATCH_ROWS = 500

# Written outside `Choice`, because a field of `Choice` has the name of the built-in.
_Model = type[OutboxMessage] | type[PublishedMessage]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which messages are meant; an empty field chooses all. Times are those at which a message was written, or died."""

    capability: str = ""
    type: str = ""
    key: str = ""
    since: datetime | None = None
    until: datetime | None = None
    message_id: str = ""

    @property
    def is_everything(self) -> bool:
        return self == Choice()

    def rows(self, model: _Model) -> models.QuerySet[Any]:
        """The chosen rows of the outbox, or of the published messages, the oldest first."""
        asked = {
            "capability": self.capability,
            "type": self.type,
            "key": self.key,
            "created_at__gte": self.since,
            "created_at__lt": self.until,
            "message_id": self.message_id,
        }
        chosen = {name: value for name, value in asked.items() if value}
        return model.objects.filter(**chosen).order_by("id")

    def accepts(self, entry: Entry) -> bool:
        """Whether the dead letter is meant; its capability is that of its queue."""
        at = entry.at
        return (
            self.type in ("", entry.type)
            and self.key in ("", entry.key)
            and self.message_id in ("", entry.message_id)
            and (self.since is None or (at is not None and at >= self.since))
            and (self.until is None or (at is not None and at < self.until))
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, wherever it lies. ``to`` is its queue, empty for an event."""

    source: Source
    message_id: str
    capability: str
    type: str
    key: str
    to: str
    at: datetime | None
    error: str
    attempts: int
    body: bytes


def entries(source: Source, choice: Choice, *, limit: int | None = None) -> Iterator[Entry]:
    """The messages that are meant, the oldest first; nothing is changed.

    Raises:
        BrokerLostError: when the broker does not answer.
    """
    if source != "dead":
        model = OutboxMessage if source == "outbox" else PublishedMessage
        yield from (_of_row(source, row) for row in choice.rows(model)[:limit].iterator())
        return
    found = 0
    for capability in _boxes(choice):
        with Box(capability) as box:
            for _, entry in _chosen(box, capability, choice):
                if limit is not None and found >= limit:
                    return
                found += 1
                yield entry


def replay_published(choice: Choice, *, to: str) -> int:
    """Puts published events into the outbox again, for one capability's queue; returns how many.

    The events keep their ids, so the inbox there drops those that it has handled.
    """
    replayed = 0
    with transaction.atomic():
        for row in choice.rows(PublishedMessage).iterator(chunk_size=BATCH_ROWS):
            outbox.add(
                message_id=row.message_id,
                capability=row.capability,
                type=row.type,
                key=row.key,
                destination=to,
                body=bytes(row.body),
            )
            replayed += 1
    return replayed


def replay_dead(choice: Choice, *, to: str = "") -> int:
    """Publishes dead letters again, to the queue they died in or to another; returns how many.

    Raises:
        BrokerLostError: when the broker does not answer; what was not replayed is still there.
    """
    replayed = 0
    for capability in _boxes(choice):
        with Box(capability) as box:
            for letter, _ in _chosen(box, capability, choice):
                box.replay(letter, to=to or capability)
                replayed += 1
    return replayed


def purge(source: Source, choice: Choice) -> int:
    """Throws the messages away; returns how many.

    Raises:
        BrokerLostError: when the broker does not answer.
    """
    if source != "dead":
        model = OutboxMessage if source == "outbox" else PublishedMessage
        return choice.rows(model).order_by().delete()[0]
    purged = 0
    for capability in _boxes(choice):
        with Box(capability) as box:
            for letter, _ in _chosen(box, capability, choice):
                box.purge(letter)
                purged += 1
    return purged


def outdated() -> Choice:
    """The published messages that are older than the time for which they are kept for a replay."""
    return Choice(until=timezone.now() - timedelta(days=settings.replay_days()))


def forget_handled() -> int:
    """Deletes inbox rows that are older than any message can still be; returns how many.

    It does so only where the capability is open: the stream deletes the rows on the other side.
    """
    before = timezone.now() - timedelta(days=settings.inbox_days())
    forgotten = 0
    for capability in settings.inboxes():
        if owners.is_open(capability):
            forgotten += inbox.model_of(capability)._default_manager.filter(handled_at__lt=before).delete()[0]
    return forgotten


def _boxes(choice: Choice) -> Sequence[str]:
    return [choice.capability] if choice.capability else sorted(settings.consumes())


def _chosen(box: Box, capability: str, choice: Choice) -> Iterator[tuple[Letter, Entry]]:
    for letter in box.letters():
        entry = _of_letter(capability, letter)
        if choice.accepts(entry):
            yield letter, entry


def _of_row(source: Source, row: Any) -> Entry:
    return Entry(
        source=source,
        message_id=str(row.message_id),
        capability=row.capability,
        type=row.type,
        key=row.key,
        to=row.destination,
        at=row.created_at,
        error=row.error or "",
        attempts=row.attempts,
        body=bytes(row.body),
    )


def _of_letter(capability: str, letter: Letter) -> Entry:
    message = letter.message
    died = letter.headers.get(FAILED_AT)
    return Entry(
        source="dead",
        message_id=str(message.id) if message else "",
        capability=capability,
        type=message.type if message else str(letter.headers.get(TYPE, "")),
        key=message.subject if message else str(letter.headers.get(KEY, "")),
        to=capability,
        at=parse_datetime(str(died)) if died else None,
        error=letter.fault,
        attempts=int(letter.headers.get("x-tries", 0)),
        body=letter.body,
    )
