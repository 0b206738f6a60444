"""A gate with a login, watched by an app that writes each failure down and refuses who has failed too often.

That is what packages such as django-axes do: a receiver of `user_login_failed` writes a row, and the request is then
answered with an error, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import authenticate
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from library.models import Book, Visit
from library.urls import moment

FAILED = "failed login"
TRIES = 3


def note(sender: object, credentials: dict[str, Any], **_: object) -> None:
    """A receiver of `user_login_failed`: writes the failure down."""
    Visit.objects.create(note=FAILED)


class LockoutMiddleware:
    """Refuses a login after too many failures."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if Visit.objects.filter(note=FAILED).count() >= TRIES:
            return HttpResponse(status=429)
        return response


class LoginApi(APIView):
    """A login of REST framework's, whose refusal is an exception that it handles."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def post(self, request: Request) -> Response:
        if authenticate(request._request, username="ada", password="wrong") is None:
            raise AuthenticationFailed
        return Response()


def blocks(request: HttpRequest) -> HttpResponse:
    """Whether a transaction is open."""
    return HttpResponse(str(connection.in_atomic_block))


def whole(request: HttpRequest) -> HttpResponse:
    """Writes what stays and what moves in a transaction of its own."""
    with transaction.atomic():
        Visit.objects.create(note="whole")
        moment()
        Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def in_parts(request: HttpRequest) -> HttpResponse:
    """Writes the same without one."""
    Visit.objects.create(note="a part")
    moment()
    Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def in_parts_and_silent(request: HttpRequest) -> HttpResponse:
    """The same, and takes no notice of the refusal."""
    Visit.objects.create(note="a part")
    moment()
    try:
        Book.objects.create(title="Emma")
    except DatabaseError:
        return HttpResponse(status=201)
    return HttpResponse(status=201)


views: dict[str, Callable[..., HttpResponseBase]] = {
    "login": LoginApi.as_view(),
    "blocks": blocks,
    "whole": whole,
    "in-parts": in_parts,
    "in-parts-and-silent": in_parts_and_silent,
}
urlpatterns = [path(f"{where}/{name}", view) for where in ("gate", "books") for name, view in views.items()]
