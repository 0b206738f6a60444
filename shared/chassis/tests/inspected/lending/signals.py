from __future__ import annotations

from typing import Any

from chassis.ownership.owners import is_open
from django.core.cache import cache
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal, receiver

from inspected.billing.models import Counter, Invoice, Line
from inspected.lending.models import Loan, Reader

returned = Signal()


@receiver(post_save, sender=Loan)
def bill(sender: type[Loan], instance: Loan, **kwargs: Any) -> None:  # -> signal-writes
    instance.invoices.create(reader=instance.reader)


@receiver(post_save, sender=Reader)
def mark(sender: type[Reader], instance: Reader, **kwargs: Any) -> None:
    if is_open("billing"):
        Invoice.objects.filter(reader=instance).update(paid=True)


@receiver((post_save, post_delete), sender=Invoice)
def forget(sender: type[Invoice], instance: Invoice, **kwargs: Any) -> None:  # -> receiver-does-not-run
    cache.delete(f"due-{instance.reader_id}")


@receiver(post_save, sender=Line)
def number(sender: type[Line], instance: Line, **kwargs: Any) -> None:
    """Writes a table of the same capability: it comes by the stream as well."""
    Counter.objects.update(number=1)


@receiver(post_delete, sender=Loan)
def nothing(sender: type[Loan], instance: Loan, **kwargs: Any) -> None:
    cache.clear()
