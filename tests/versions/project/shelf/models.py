from __future__ import annotations

from django.db import models


class Book(models.Model):
    """Moves."""

    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title


class Visit(models.Model):
    """Stays, and may point at a book."""

    note = models.CharField(max_length=100)
    book = models.ForeignKey(Book, models.SET_NULL, null=True)

    def __str__(self) -> str:
        return self.note
