from __future__ import annotations

from collections.abc import Callable

from chassis.ownership.owners import is_open
from django.http import HttpRequest, HttpResponse

from inspected.billing.models import Counter
from inspected.lending.models import Reader

Next = Callable[[HttpRequest], HttpResponse]


class VersionMiddleware:
    """Before the fence, and without the database."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers["x-version"] = "1"
        return response


class SeenMiddleware:
    """Before the fence, and asks the database."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        Reader.objects.filter(name="x").exists()
        return self.get_response(request)


def count(get_response: Next) -> Next:  # -> middleware-writes
    def middleware(request: HttpRequest) -> HttpResponse:
        Counter.objects.create(number=1)
        if is_open("billing"):
            Counter.objects.update(number=2)
        return get_response(request)

    return middleware
