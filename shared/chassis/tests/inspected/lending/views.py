from __future__ import annotations

from chassis.ownership.owners import is_open
from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.generic import DetailView

from inspected.billing import services
from inspected.billing.models import Invoice
from inspected.lending.models import Loan, Reader
from inspected.lending.signals import returned


@login_required
def give_back(request: HttpRequest, pk: int) -> HttpResponse:
    loan = get_object_or_404(Loan, pk=pk)
    if request.method == "POST":
        loan.over = True
        loan.save()
        returned.send(sender=Loan, loan=loan)
        for invoice in loan.invoices.filter(paid=False):
            services.remind(invoice=invoice)
    return HttpResponse()


def look(request: HttpRequest, pk: int) -> HttpResponse:
    """A GET that writes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("UPDATE billing_invoice SET paid = true WHERE id = %s", [pk])  # -> staying-view-writes
        cursor.execute("UPDATE lending_loan SET over = true")
    return HttpResponse()


def lend(request: HttpRequest) -> HttpResponse:
    """Asks who owns invoices, and writes none where that is not this side."""
    loan = Loan.objects.create(reader=Reader.objects.first())
    if not is_open("billing"):
        return HttpResponse(status=202)
    services.open_invoice(loan_id=loan.pk, reader_id=loan.reader_id)
    return HttpResponse()


def known(request: HttpRequest) -> HttpResponse:
    # strangler-check: the job that calls it ends before the move
    Invoice.objects.filter(paid=True).delete()  # -> staying-view-writes
    return HttpResponse()


def mark(request: HttpRequest, pk: int, mark: str) -> HttpResponse:
    """Its variable takes two words only."""
    Invoice.objects.filter(loan=pk).update(paid=mark == "good")  # -> staying-view-writes
    return HttpResponse()


def keep(request: HttpRequest) -> HttpResponse:
    """Nothing tells of which class the object is."""
    if request.method == "POST":
        request.parcel.save()  # -> unknown-write
    seen = request.GET.copy()
    return HttpResponse(seen.urlencode())


def parcel(request: HttpRequest) -> HttpResponse:
    # strangler-check: parcels stay
    request.parcel.save()  # -> unknown-write
    return HttpResponse()


def keep_dunning(request: HttpRequest, name: str) -> HttpResponse:
    """On a route of what moves, so that it is led to the owner, whatever it writes."""
    request.parcel.save()
    return HttpResponse()


def owing(request: HttpRequest) -> HttpResponse:
    """Joins invoices."""
    return HttpResponse(Loan.objects.filter(invoices__paid=False).count())  # -> copy-is-read


def owed(request: HttpRequest) -> HttpResponse:
    # strangler-check: the page goes before the drop
    return HttpResponse(Invoice.objects.count())  # -> copy-is-read


def due(request: HttpRequest) -> HttpResponse:
    """Asks who owns invoices, and reads none where that is not this side."""
    if not is_open("billing"):
        return HttpResponse(status=202)
    return HttpResponse(Invoice.objects.count())


class LoanPage(DetailView):
    """Reads invoices, and writes a reader."""

    model = Loan

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        loan = self.get_object()
        paid = {"update": loan.invoices.filter(paid=True).count()}  # -> copy-is-read
        paid.update(save=1)
        loan.reader.save()
        services.count(number=1)
        return HttpResponse()
