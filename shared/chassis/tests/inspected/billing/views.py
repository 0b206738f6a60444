from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_POST
from rest_framework import generics, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inspected.billing import services
from inspected.billing.models import Invoice, Line
from inspected.lending.models import Reader


class InvoiceSerializer(serializers.ModelSerializer):
    class Meta:
        model = Invoice
        fields = ("id", "paid")


class Invoices(viewsets.ModelViewSet):  # -> view-without-route
    """All its routes are the capability's, but for PUT and for `void`."""

    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer

    @action(detail=True, methods=["post"])
    def pay(self, request: Request, pk: str | None = None) -> Response:
        self.get_object().pay()
        Reader.objects.filter(due=True).update(due=False)  # -> route-writes-outside
        # strangler-check: the service sends a message instead
        Reader.objects.create(name="seen")  # -> route-writes-outside
        return Response()

    @action(detail=True, methods=["post"])
    def void(self, request: Request, pk: str | None = None) -> Response:
        invoice = self.get_object()
        invoice.delete()  # -> view-without-route
        return Response()


class ReplaceInvoice(generics.UpdateAPIView):  # -> view-without-route
    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer
    http_method_names = ("put",)


class Reading(generics.RetrieveAPIView):  # -> copy-is-read
    """Not in the routes, and only reads."""

    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class Dunning(View):  # -> non-atomic-view
    def post(self, request: HttpRequest, rest: str) -> HttpResponse:
        services.settle_all()
        return HttpResponse(Reader.objects.count())


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class DunningList(View):
    """Reads: there is nothing to repeat."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(Invoice.objects.count())


@require_POST
def split(request: HttpRequest, pk: int) -> HttpResponse:  # -> non-atomic-view
    services.split(invoice=get_object_or_404(Invoice, pk=pk))
    return HttpResponse()


async def mail(request: HttpRequest, pk: int) -> HttpResponse:  # -> async-view
    await Line.objects.acreate(text="mail")
    return HttpResponse()


class State(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse()


@require_POST
def close_scan(request: HttpRequest, pk: int) -> HttpResponse:
    """Its route is that of one language only."""
    Line.objects.filter(pk=pk).update(text="closed")  # -> view-without-route
    return HttpResponse()


@require_POST
def open_scan(request: HttpRequest, pk: int) -> HttpResponse:
    """It has a route in each language."""
    Line.objects.filter(pk=pk).update(text="open")
    return HttpResponse()
