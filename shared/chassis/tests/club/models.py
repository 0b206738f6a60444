"""``Person`` and ``Card`` stay; all others move, and point at a person in every way that Django knows."""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

NOBODY = 1


class Person(models.Model):
    name = models.CharField(max_length=50)
    badge = models.CharField(max_length=20, unique=True, null=True)
    labels = GenericRelation("club.Label")

    def __str__(self) -> str:
        return self.name


class Member(Person):
    """A child in a table of its own, which stays, too."""

    since = models.IntegerField(default=2000)


class Card(models.Model):
    person = models.ForeignKey(Person, models.CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Booking(models.Model):
    person = models.ForeignKey(Person, models.CASCADE)
    guests = models.ManyToManyField(Person, related_name="invitations")

    def __str__(self) -> str:
        return str(self.pk)


class Hour(models.Model):
    booking = models.ForeignKey(Booking, models.CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Remark(models.Model):
    person = models.ForeignKey(Person, models.SET_NULL, null=True)

    def __str__(self) -> str:
        return str(self.pk)


class Review(models.Model):
    person = models.ForeignKey(Person, models.SET(lambda: NOBODY))

    def __str__(self) -> str:
        return str(self.pk)


class Swipe(models.Model):
    badge = models.ForeignKey(Person, models.CASCADE, to_field="badge")

    def __str__(self) -> str:
        return str(self.pk)


class Debt(models.Model):
    person = models.ForeignKey(Person, models.PROTECT)

    def __str__(self) -> str:
        return str(self.pk)


class Deposit(models.Model):
    """It goes with its booking, and not with its person."""

    person = models.ForeignKey(Person, models.RESTRICT)
    booking = models.ForeignKey(Booking, models.CASCADE, null=True)

    def __str__(self) -> str:
        return str(self.pk)


class Label(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.BigIntegerField()
    about = GenericForeignKey()

    def __str__(self) -> str:
        return str(self.pk)


class Diary(models.Model):
    """What the owner's receivers have seen."""

    said = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.said
