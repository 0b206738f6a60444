"""What a reader may ask for."""

from __future__ import annotations

import os
import threading

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from library.lending import Lending
from library.models import Book

SECRET = "s3cret-of-a-reader"


def lend(request: HttpRequest, reader: str) -> HttpResponse:
    """Writes a row and begins a saga, in one transaction."""
    Book.objects.create(title=SECRET)
    row = Lending.begin(key=reader, data={"title": SECRET})
    return JsonResponse({"loan": str(row.pk)}, status=201)


def look(request: HttpRequest) -> HttpResponse:
    """A read as an application has many: four statements."""
    numbers = [Book.objects.filter(title=SECRET, pk__gt=number).count() for number in range(3)]
    titles = list(Book.objects.order_by("pk").values_list("title", flat=True)[:20])
    return JsonResponse({"numbers": numbers, "titles": titles})


def search(request: HttpRequest) -> HttpResponse:
    """A statement with the value written into its text, by a program that knows no better."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM library_book WHERE title = '{SECRET}' AND id < 424242")
    return HttpResponse()


def break_(request: HttpRequest) -> HttpResponse:
    raise ValueError(SECRET)


def queue(request: HttpRequest) -> HttpResponse:
    """Sends a task."""
    from library.worker import shelve

    shelve.delay(SECRET)
    return HttpResponse(status=202)


def about(request: HttpRequest) -> HttpResponse:
    """What this process has to do with traces."""
    import sys

    with open("/proc/self/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return JsonResponse(
        {
            "pid": os.getpid(),
            "memory_bytes": memory * 1024,
            "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry"),
            "threads": sorted(thread.name for thread in threading.enumerate()),
        }
    )


urlpatterns = [
    path("loans/<str:reader>", lend),
    path("books", look),
    path("books/search", search),
    path("books/broken", break_),
    path("books/shelve", queue),
    path("about", about),
]
