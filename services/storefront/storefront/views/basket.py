"""The cart, and the way from it to an order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe

from storefront.cart import MOST_PRODUCTS, FullError
from storefront.failures import MissingError, NoAnswerError, PassingError, RefusedError
from storefront.forms import PiecesForm
from storefront.pages import go, is_part, logged, page, visitor_of

REJECTED = "rejected"
FULL = f"Your cart has {MOST_PRODUCTS} different products already; order them first."
UNKNOWN = "No answer has come, so nobody knows yet whether it was ordered. Order once more: it comes only once."


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The cart with today's prices."""
    return _shown(request)


@require_POST
def add(request: HttpRequest, product: int) -> HttpResponse:
    """More of a product. htmx gets the number of pieces for the head of the page, and stays where it is."""
    visitor, form = visitor_of(request), PiecesForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Please say how many, as a number from 1 to 99.")
        return go(request, "product", product)
    try:
        visitor.cart = visitor.cart.with_more(product, form.cleaned_data["pieces"])
        told, is_well = "Added to your cart.", True
    except FullError:
        told, is_well = FULL, False
    if is_part(request):
        response: HttpResponse = page(request, "part_added", {"told": told, "is_well": is_well})
        return response
    (messages.success if is_well else messages.error)(request, told)
    return go(request, "cart" if is_well else "product", *([] if is_well else [product]))


@require_POST
def change(request: HttpRequest, product: int) -> HttpResponse:
    """Another number of pieces; 0 takes the product out."""
    visitor, form = visitor_of(request), PiecesForm(request.POST)
    if form.is_valid():
        visitor.cart = visitor.cart.with_pieces(product, form.cleaned_data["pieces"])
    else:
        messages.error(request, "Please give a number from 0 to 99.")
    return go(request, "cart")


@require_POST
def check_out(request: HttpRequest) -> HttpResponse:
    """Orders what is in the cart, once however often it is asked; see the note "one key a content"."""
    visitor, key = visitor_of(request), request.POST.get("key", "")
    if (ordered := visitor.cart.order_of(key)) is not None:
        return go(request, "order", ordered)
    if not visitor.cart.lines:
        messages.info(request, "Your cart is empty.")
        return go(request, "cart")
    if key != visitor.cart.key:
        messages.info(request, "Your cart has changed meanwhile. Look at it once more, then order.")
        return go(request, "cart")
    return _placed(request, key)


def _placed(request: HttpRequest, key: str) -> HttpResponse:
    visitor = visitor_of(request)
    try:
        order = visitor.api.place(visitor.cart.lines, key=key)
    except NoAnswerError:
        return _shown(request, UNKNOWN, status=503)
    except PassingError as error:
        return _shown(request, error.sentence, status=error.status, after=error.after)
    except RefusedError as error:
        return _shown(request, error.sentence, status=error.status)
    if order["status"] == REJECTED:
        visitor.cart = visitor.cart.after_rejection()
    else:
        visitor.cart = visitor.cart.after_order(order["id"])
    return go(request, "order", order["id"])


def _shown(request: HttpRequest, trouble: str = "", *, status: int = 200, after: int | None = None) -> HttpResponse:
    """The cart; with what came in the way of an order, and then also where no prices can be had."""
    visitor = visitor_of(request)
    try:
        lines = _priced(request)
    except PassingError:
        if not trouble:
            raise
        lines = [{"id": product, "pieces": pieces} for product, pieces in visitor.cart.lines.items()]
    known = [line for line in lines if "sum" in line]
    context = {
        "lines": lines,
        "total": sum((line["sum"] for line in known), Decimal()),
        "currency": known[0]["currency"] if known else "",
        "is_whole": len(known) == len(lines),
        "key": visitor.cart.key,
        "trouble": trouble,
    }
    response: HttpResponse = page(request, "cart", context, status=status)
    if after is not None or status == 503:
        response.headers["Retry-After"] = str(after or 1)
    return logged(response)


def _priced(request: HttpRequest) -> list[dict[str, Any]]:
    """Products that are no longer sold leave the cart, and the visitor is told."""
    visitor, lines = visitor_of(request), []
    for product, pieces in visitor.cart.lines.items():
        try:
            found = visitor.api.product(product)
        except MissingError:
            visitor.cart = visitor.cart.with_pieces(product, 0)
            messages.info(request, "Something that was in your cart is no longer sold.")
            continue
        lines.append({**found, "pieces": pieces, "sum": found["price"] * pieces, "short": found["stock"] < pieces})
    return lines
