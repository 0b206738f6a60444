"""What moves, but for ``Tag``."""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.db import models


class Tag(models.Model):
    """Stays."""

    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def unpaid(self) -> InvoiceQuerySet:
        return self.filter(paid=False)

    def settle(self) -> int:
        return self.update(paid=True)


class Invoice(models.Model):  # -> cascade-from-outside
    loan = models.ForeignKey("lending.Loan", models.CASCADE, related_name="invoices")
    # A PROTECT only looks, and DO_NOTHING leaves it to others.
    reader = models.ForeignKey("lending.Reader", models.PROTECT, related_name="invoices")
    shelf = models.ForeignKey("lending.Shelf", models.DO_NOTHING, related_name="+", null=True)
    paid = models.BooleanField(default=False)
    tags = models.ManyToManyField(Tag, through="InvoiceTag")

    objects = InvoiceQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.pk)

    def pay(self) -> None:
        self.paid = True
        self.save(update_fields=["paid"])


class InvoiceTag(models.Model):
    invoice = models.ForeignKey(Invoice, models.CASCADE)
    tag = models.ForeignKey(Tag, models.PROTECT)

    class Meta:
        db_table = "billing_invoice_tags"

    def __str__(self) -> str:
        return str(self.pk)


class Line(models.Model):
    invoice = models.ForeignKey(Invoice, models.CASCADE, related_name="lines")
    text = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text


class Note(models.Model):  # -> numbers-differ
    content_type = models.ForeignKey(ContentType, models.PROTECT)
    object_id = models.BigIntegerField()
    about = GenericForeignKey("content_type", "object_id")

    def __str__(self) -> str:
        return str(self.pk)


class Archive(models.Model):
    """Written on another alias."""

    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class Counter(models.Model):
    """Kept by a receiver of the same capability."""

    number = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class Scan(models.Model):  # -> files-stay
    picture = models.FileField()  # by the project's default storage
    path = models.FilePathField(path="/srv/scans")

    def __str__(self) -> str:
        return str(self.picture)


class Upload(models.Model):  # -> files-stay
    """Its files lie elsewhere: a note."""

    file = models.FileField(storage=InMemoryStorage())

    def __str__(self) -> str:
        return str(self.file)


# strangler-check: both sides mount the volume
class Receipt(models.Model):  # -> files-stay
    file = models.FileField(storage=FileSystemStorage(location="/srv/receipts"))

    def __str__(self) -> str:
        return str(self.file)
