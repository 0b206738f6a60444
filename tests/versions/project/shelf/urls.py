from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from asgiref.sync import sync_to_async
from chassis.ownership import seam
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from shelf.models import Book, Visit

meanwhile: list[Callable[[], Any]] = []  # what happens once, between a view's first write and its second


def _between() -> None:
    if meanwhile:
        meanwhile.pop()()


def add(request: HttpRequest) -> HttpResponse:
    """Writes what stays, and then what moves."""
    Visit.objects.create(note="add")
    _between()
    Book.objects.create(title="Emma")
    return JsonResponse({"body": request.body.decode()}, status=201)


async def add_async(request: HttpRequest) -> HttpResponse:
    """The same."""
    await sync_to_async(Visit.objects.create)(note="add")
    await sync_to_async(_between)()
    await sync_to_async(Book.objects.create)(title="Emma")
    return JsonResponse({"body": request.body.decode()}, status=201)


def read(request: HttpRequest, pk: int) -> HttpResponse:
    """Looks a book up across the seam."""
    book = seam.await_row(Book, pk, request=request)
    return HttpResponse(status=404) if book is None else JsonResponse({"title": book.title})


@login_required
def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"name": request.user.get_username(), "seat": request.session["seat"]})


async def me_async(request: HttpRequest) -> HttpResponse:
    """The same: before Django 5.0 a decorator does not wait for an asynchronous view."""
    if not (await request.auser()).is_authenticated:
        return redirect_to_login(request.path, "/accounts/login/")
    return JsonResponse({"name": request.user.get_username(), "seat": request.session["seat"]})


urlpatterns = [
    path("me", me),
    path("me/async", me_async),
    path("books", add),
    path("books/async", add_async),
    path("visits", transaction.atomic(add)),
    path("visits/<int:pk>", read),
]

if find_spec("rest_framework"):
    from django.contrib.auth import authenticate
    from rest_framework.exceptions import AuthenticationFailed
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Login(APIView):
        authentication_classes = ()
        permission_classes = ()

        def post(self, request: Request) -> Response:
            """Refuses, as REST framework does it: by an exception that it handles."""
            if authenticate(request._request, username="ada", password="wrong") is None:
                raise AuthenticationFailed
            return Response()

    urlpatterns.append(path("login", Login.as_view()))
