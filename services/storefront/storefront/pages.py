"""How pages are made, and how whatever goes wrong becomes a page.

Note "a part or a page": htmx asks for a part of a page with HX-Request. What goes wrong is then a sentence where that
part would be, and otherwise a page of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from storefront.failures import InterfaceError, LoggedOutError, MissingError, PassingError
from storefront.visitor import Visitor

logger = logging.getLogger(__name__)

ASK = "HX-Request"
TITLES = {
    400: "This cannot be read",
    403: "This is not done here",
    404: "Not found",
    409: "This cannot be done now",
    422: "This cannot be done",
    429: "Too often",
    500: "An error of ours",
    502: "An error of ours",
    503: "One moment, please",
}
WRONG = "Something went wrong"


def visitor_of(request: HttpRequest) -> Visitor:
    found: Visitor = request.visitor  # type: ignore[attr-defined]
    return found


def surroundings(request: HttpRequest) -> dict[str, Any]:
    """What the frame of each page shows."""
    visitor: Visitor | None = getattr(request, "visitor", None)
    return {
        "visitor": visitor,
        "pieces": visitor.cart.pieces if visitor else 0,
        "ribbon": settings.RIBBON,
        "sides": sorted(visitor.api.sides.items()) if visitor and settings.RIBBON else [],
    }


def is_part(request: HttpRequest) -> bool:
    """See the note; a page that htmx fetches again for its history is a whole one."""
    return request.headers.get(ASK) == "true" and request.headers.get("HX-History-Restore-Request") != "true"


def page(request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200) -> Any:
    return render(request, f"storefront/{template}.html", context, status=status)


def go(request: HttpRequest, name: str, *arguments: Any) -> HttpResponse:
    """To another page, also where htmx asks."""
    address = reverse(name, args=arguments)
    if is_part(request):
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def back(request: HttpRequest) -> str:
    """Where the visitor wanted to go, if that is here."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/"):
        return wanted
    return reverse("browse")


def failure(request: HttpRequest, status: int, sentence: str, *, after: int | None = None) -> HttpResponse:
    """A page, or a sentence where a part was asked for."""
    template = "part_failure" if is_part(request) else "failure"
    context = {
        "title": TITLES.get(status, WRONG),
        "sentence": sentence,
        # Only what changes nothing is offered again by a link.
        "again": request.get_full_path() if request.method == "GET" and status in (429, 502, 503) else "",
    }
    response: HttpResponse = page(request, template, context, status=status)
    if after is not None or status == 503:
        response.headers["Retry-After"] = str(after or 1)
    return response


def logged(response: HttpResponse) -> HttpResponse:
    """So that Django does not log it as an error of its own: it is the interface's, and has been logged."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class FailureMiddleware:
    """Makes a page of what the interface refuses where no view has done so."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not isinstance(exception, InterfaceError):
            return None
        if isinstance(exception, LoggedOutError):
            return to_login(request, exception.sentence)
        if not isinstance(exception, MissingError):
            logger.warning("interface_failed", extra={"reason": type(exception).__name__, "status": exception.status})
        after = exception.after if isinstance(exception, PassingError) else None
        return logged(failure(request, exception.status, exception.sentence, after=after))


def to_login(request: HttpRequest, sentence: str) -> HttpResponse:
    """With the way back: to this page, or, where something was to be done, to the page it was to be done from."""
    messages.info(request, sentence)
    here = request.get_full_path() if request.method == "GET" and not is_part(request) else reverse("cart")
    address = f"{reverse('log-in')}?{urlencode({'next': here})}"
    if is_part(request):
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure(request, 400, "The request cannot be read.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure(request, 403, "This is not done here.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return failure(
        request,
        403,
        "This form is too old, or came from elsewhere. Go back, load the page again and send it once more.",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return failure(request, 404, "There is no such page here.")


def broken(request: HttpRequest) -> HttpResponse:
    return failure(request, 500, "This page could not be made. The error has been noted.")
