"""What stays."""

from __future__ import annotations

from django.db import models


class Reader(models.Model):
    name = models.CharField(max_length=50)
    due = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class Shelf(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Loan(models.Model):
    reader = models.ForeignKey(Reader, models.CASCADE)
    over = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.pk)
