"""How people are deleted."""

from __future__ import annotations

from django.db import transaction
from django.db.models import ProtectedError, RestrictedError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path

from club.models import Person


def person(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        get_object_or_404(Person, pk=pk).delete()
    except (ProtectedError, RestrictedError) as error:
        return HttpResponse(type(error).__name__, status=409)
    return HttpResponse(status=204)


def regretted(request: HttpRequest, pk: int) -> HttpResponse:
    """Deletes one, and thinks better of it."""
    with transaction.atomic():
        Person.objects.get(pk=pk).delete()
        transaction.set_rollback(True)
    return HttpResponse(status=409)


def purge(request: HttpRequest, name: str) -> HttpResponse:
    """As an admin's action deletes what was chosen."""
    try:
        Person.objects.filter(name=name).delete()
    except (ProtectedError, RestrictedError) as error:
        return HttpResponse(type(error).__name__, status=409)
    return HttpResponse(status=204)


urlpatterns = [
    path("people/<int:pk>", person),
    path("people/<int:pk>/regretted", regretted),
    path("people/named/<str:name>", purge),
]
