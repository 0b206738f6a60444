"""Messages that wait to be published, messages that were published, leases, and counts; none of it moves with a
capability.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import models

from chassis.columns import EMPTY, NOW, ZERO


class MessageRow(models.Model):
    """A message as it is published; ``destination`` is empty for an event, and otherwise the queue of a command or
    reply."""

    capability: models.TextField[str, str] = models.TextField()
    type: models.TextField[str, str] = models.TextField()
    key: models.TextField[str, str] = models.TextField()
    destination: models.TextField[str, str] = models.TextField(default="", blank=True)
    lane: models.SmallIntegerField[int, int] = models.SmallIntegerField()
    body: models.BinaryField[bytes, bytes] = models.BinaryField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(**NOW)
    attempts: models.IntegerField[int, int] = models.IntegerField(**ZERO)
    error: models.TextField[str, str] = models.TextField(blank=True, **EMPTY)
    retry_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.type} {self.key}"


class OutboxMessage(MessageRow):
    """Written with the change that it tells of; a relay publishes it and takes it away."""

    id: models.BigAutoField[int, int] = models.BigAutoField(primary_key=True)
    message_id: models.UUIDField[UUID, UUID] = models.UUIDField(unique=True)

    class Meta:
        db_table = "chassis_outbox"
        indexes = (
            models.Index(
                fields=["capability", "key", "id"],
                condition=models.Q(retry_at__isnull=False),
                name="chassis_outbox_held_up",
            ),
        )


class PublishedMessage(MessageRow):
    """An event that the broker has confirmed, kept for a while so that it can be sent again."""

    id: models.BigIntegerField[int, int] = models.BigIntegerField(primary_key=True)
    message_id: models.UUIDField[UUID, UUID] = models.UUIDField(unique=True)
    published_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        db_table = "chassis_published"
        indexes = (models.Index(fields=["published_at"], name="chassis_published_at"),)


class Lease(models.Model):
    """What one session at a time may do; see `chassis.database.leases`. Rows whose name begins with ``turn`` have no
    holder.
    """

    name: models.TextField[str, str] = models.TextField(primary_key=True)
    pid: models.IntegerField[int | None, int | None] = models.IntegerField(null=True)
    role: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(null=True)
    started_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)

    class Meta:
        db_table = "chassis_lease"

    def __str__(self) -> str:
        return self.name


class Count(models.Model):
    """How often something happened in the present period of a key; see `chassis.database.counts`. The table is not
    logged, and a server that has crashed has it empty.
    """

    key: models.TextField[str, str] = models.TextField(primary_key=True)
    number: models.BigIntegerField[int, int] = models.BigIntegerField()
    ends_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        db_table = "chassis_count"
        indexes = (models.Index(fields=["ends_at"], name="chassis_count_ends_at"),)

    def __str__(self) -> str:
        return self.key
