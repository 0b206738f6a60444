"""What a customer has ordered."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from storefront.failures import RefusedError
from storefront.pages import go, is_part, page, visitor_of

PENDING = "pending"
CANCELLABLE = frozenset({"pending", "confirmed"})
TOLD = {
    "pending": "We are seeing to it: stock and payment are being asked for.",
    "confirmed": "Thank you. It is confirmed and paid.",
    "rejected": "It could not be placed: something is out of stock, or the payment was declined. Nothing was charged.",
    "shipped": "It is on its way to you.",
    "cancelled": "It is cancelled. Your money goes back to you.",
}


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """All orders of the customer, newest first."""
    found = visitor_of(request).api.orders(cursor=request.GET.get("cursor", "")[:500])
    more = f"{reverse('orders')}?{urlencode({'cursor': found.cursor})}" if found.cursor else ""
    template = "part_orders" if is_part(request) else "orders"
    response: HttpResponse = page(request, template, {"orders": found.results, "more": more})
    return response


@require_safe
def order(request: HttpRequest, order: int) -> HttpResponse:
    """One order; while its outcome is open, the page asks again by itself."""
    found = visitor_of(request).api.order(order)
    context = {
        "order": found,
        "told": TOLD.get(found["status"], ""),
        "is_open": found["status"] == PENDING,
        "may_cancel": found["status"] in CANCELLABLE,
    }
    response: HttpResponse = page(request, "part_order" if is_part(request) else "order", context)
    return response


@require_POST
def cancel(request: HttpRequest, order: int) -> HttpResponse:
    """Cancels it, unless it is too late."""
    try:
        visitor_of(request).api.cancel(order)
    except RefusedError:
        messages.error(request, "This order can no longer be cancelled.")
    else:
        messages.success(request, "Your order is cancelled.")
    return go(request, "order", order)
