from __future__ import annotations

from django.db import transaction

from inspected.billing.models import Invoice, Line


def remind(*, invoice: Invoice) -> None:
    invoice.lines.create(text="reminder")  # -> staying-view-writes


def open_invoice(*, loan_id: int, reader_id: int) -> Invoice:
    return Invoice.objects.create(loan_id=loan_id, reader_id=reader_id)


def settle_all() -> None:
    Invoice.objects.unpaid().settle()


@transaction.atomic(durable=True)
def split(*, invoice: Invoice) -> None:
    Line.objects.filter(invoice=invoice).delete()


def count(*, number: int) -> None:
    Line.objects.count()
