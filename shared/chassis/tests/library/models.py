from __future__ import annotations

from chassis.messages.inbox import InboxRow
from chassis.rest.idempotency import IdempotencyRow
from chassis.sagas.saga import SagaRow
from django.db import models


class Book(models.Model):
    """Moves."""

    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title


class Visit(models.Model):
    """Stays."""

    note = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.note


class Inbox(InboxRow):
    """Moves with the books."""

    class Meta(InboxRow.Meta):
        db_table = "books_inbox"


class Loan(SagaRow):
    """A book on its way to a reader."""


class Deed(models.Model):
    """What the stacks, the till or the printer did for a loan."""

    place = models.CharField(max_length=20)
    key = models.CharField(max_length=100)
    state = models.CharField(max_length=20, default="")
    done = models.IntegerField(default=0)
    undone = models.IntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("place", "key"), name="library_deed_once"),)

    def __str__(self) -> str:
        return f"{self.place} {self.key} {self.state}"


class Answer(IdempotencyRow):
    """What a caller was answered."""


class VisitsInbox(InboxRow):
    """Stays with the visits."""

    class Meta(InboxRow.Meta):
        db_table = "visits_inbox"
        indexes = ()
