"""``Member`` moves; all others stay and point at it."""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Member(models.Model):
    """Moves. A card's number may be another member's key."""

    name = models.CharField(max_length=50, default="")
    card = models.IntegerField(unique=True)
    badge = models.CharField(max_length=20, unique=True, null=True)
    remarks = GenericRelation("ties.Remark")

    def __str__(self) -> str:
        return self.name


class Patron(Member):
    """The same rows under another name."""

    class Meta:
        proxy = True


class OldMember(models.Model):
    """The same table, as some other part of the project sees it."""

    name = models.CharField(max_length=50)

    class Meta:
        managed = False
        db_table = "ties_member"

    def __str__(self) -> str:
        return self.name


class Donor(Member):
    """A child in a table of its own, which stays."""

    gave = models.IntegerField(default=0)


class Receipt(models.Model):
    donor = models.ForeignKey(Donor, models.CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Fine(models.Model):
    member = models.ForeignKey(Member, models.CASCADE)

    def __str__(self) -> str:
        return str(self.pk)


class Locker(models.Model):
    """By the card, and kept."""

    card = models.ForeignKey(Member, models.SET_NULL, to_field="card", null=True)

    def __str__(self) -> str:
        return str(self.pk)


class Swipe(models.Model):
    """By the card, and not kept."""

    card = models.ForeignKey(Member, models.CASCADE, to_field="card")

    def __str__(self) -> str:
        return str(self.pk)


class Loose(models.Model):
    """Nothing in the database says that it points anywhere."""

    member = models.ForeignKey(Member, models.CASCADE, db_constraint=False)
    badge = models.ForeignKey(
        Member, models.CASCADE, to_field="badge", null=True, db_constraint=False, related_name="loose_badges"
    )

    def __str__(self) -> str:
        return str(self.pk)


class Gift(models.Model):
    patron = models.ForeignKey(Patron, models.CASCADE)
    old = models.ForeignKey(OldMember, models.CASCADE, null=True)

    def __str__(self) -> str:
        return str(self.pk)


class Audit(models.Model):
    """Its rows are the database's business: a test gives it a constraint."""

    member = models.ForeignKey(Member, models.DO_NOTHING, db_constraint=False)

    def __str__(self) -> str:
        return str(self.pk)


class Pledge(models.Model):
    member = models.ForeignKey(Member, models.RESTRICT)

    def __str__(self) -> str:
        return str(self.pk)


class Remark(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.BigIntegerField()
    about = GenericForeignKey()

    def __str__(self) -> str:
        return str(self.pk)
