from __future__ import annotations

from chassis.messages.inbox import InboxRow
from django.db import models


class Inbox(InboxRow):
    class Meta(InboxRow.Meta):
        db_table = "counting_inbox"


class Told(models.Model):
    """Written with the event; the row's commit is when it was told."""

    message_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.message_id)


class Effect(models.Model):
    """What handling leaves; the row's commit is when it was handled."""

    message_id = models.UUIDField()
    note = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.note
