"""Views that write what moves, in good ways and in bad ones.

``moment`` is called by each view between its two writes, so that a test can do something just then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from chassis.ownership import seam
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path

from library.limited import Limited
from library.models import Book, Visit


class Moment:
    """Runs what has been planned once, however often it is passed."""

    def __init__(self) -> None:
        self.passed = 0
        self.writes = False
        self.planned: Callable[[], None] | None = None

    def __call__(self) -> None:
        self.passed += 1
        planned, self.planned = self.planned, None
        if planned is not None:
            planned()


moment = Moment()


def add(request: HttpRequest) -> HttpResponse:
    """Both rows or none; the answer tells what has arrived of the body."""
    Visit.objects.create(note="add")
    moment()
    Book.objects.create(title="Emma")
    return JsonResponse({"length": len(request.body)}, status=201)


def swallow(request: HttpRequest) -> HttpResponse:
    """Takes no notice of the database's refusal."""
    Visit.objects.create(note="swallow")
    moment()
    try:
        with transaction.atomic():
            Book.objects.create(title="Emma")
    except DatabaseError:
        pass
    return HttpResponse(status=201)


@transaction.non_atomic_requests
def commit_first(request: HttpRequest) -> HttpResponse:
    """Commits a row before it writes the other."""
    Visit.objects.create(note="committed")
    moment()
    Book.objects.create(title="Emma")
    return HttpResponse(status=201)


@transaction.non_atomic_requests
def commit_nothing(request: HttpRequest) -> HttpResponse:
    """Manages its transactions itself, and meets the fence in the first."""
    moment()
    Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def upload(request: HttpRequest) -> HttpResponse:
    """Reads the body as a stream, which no limit of Django's covers."""
    length = sum(len(block) for block in iter(lambda: request.read(65536), b""))
    moment()
    Book.objects.create(title="Emma")
    return JsonResponse({"length": length}, status=201)


def swallow_inside(request: HttpRequest) -> HttpResponse:
    """The same, for a refusal after a savepoint."""
    Visit.objects.create(note="swallow")
    try:
        with transaction.atomic():
            moment()
            Book.objects.create(title="Emma")
    except DatabaseError:
        pass
    return HttpResponse(status=201)


def last_moment(request: HttpRequest) -> HttpResponse:
    """All is written, and not committed yet."""
    Book.objects.create(title="Emma")
    moment()
    return HttpResponse(status=201)


def impatient(request: HttpRequest) -> HttpResponse:
    """Waits for nobody."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '1ms'")
    Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def when_told(request: HttpRequest) -> HttpResponse:
    """Says that it has begun, and goes on when it is told to."""
    Path(request.GET["begun"]).touch()
    while not Path(request.GET["go"]).exists():
        time.sleep(0.01)
    Book.objects.create(title="Emma")
    return HttpResponse(status=201)


def read(request: HttpRequest, pk: int) -> HttpResponse:
    """Looks a book up across the seam."""
    book = seam.await_row(Book, pk, request=request)
    return HttpResponse(status=404) if book is None else JsonResponse({"title": book.title})


def echo(request: HttpRequest) -> HttpResponse:
    """All that a view can see of its request."""
    echoed = {
        "method": request.method,
        "path": [request.path, request.path_info, request.get_full_path(), request.META["SCRIPT_NAME"]],
        "raw": [request.META["PATH_INFO"], request.META["QUERY_STRING"]],
        "address": [request.scheme, request.get_host(), request.build_absolute_uri()],
        "query": dict(request.GET.lists()),
        "type": [request.content_type, request.content_params, request.encoding],
        "cookies": request.COOKIES,
        "headers": {k: v for k, v in request.headers.items() if not k.lower().startswith("x-strangler")},
        "added": getattr(request, "tenant", None),
        "post": dict(request.POST.lists()),
        "files": {name: file.read().hex() for name, file in request.FILES.items()},
        "body": request.body.hex() if not request.FILES else None,
    }
    moment()
    if moment.writes:
        Book.objects.create(title="Emma")
    answer = JsonResponse(echoed, status=201)
    answer.set_cookie("one", "1")
    answer.set_cookie("two", "a b", httponly=True)
    return answer


def long(request: HttpRequest) -> StreamingHttpResponse:
    """More than anybody would pass on in one piece, of unsaid length."""
    return StreamingHttpResponse(b"%07d\n" % number for number in range(200_000))


def events(request: HttpRequest) -> StreamingHttpResponse:
    """One event, and then none for as long as anybody listens."""

    def listen() -> Iterator[bytes]:
        while True:
            yield b"data: \n\n"
            time.sleep(0.05)

    return StreamingHttpResponse(listen(), content_type="text/event-stream")


urlpatterns = [
    path("events", events),
    path("limited", Limited.as_view()),
    path("books/long", long),
    re_path("^books/echo", echo),
    path("books", add),
    path("books/swallow", swallow),
    path("books/commit-first", commit_first),
    path("books/commit-nothing", commit_nothing),
    path("books/upload", upload),
    path("books/swallow-inside", swallow_inside),
    path("books/last-moment", last_moment),
    path("books/impatient", impatient),
    path("books/when-told", when_told),
    path("visits", add),
    path("visits/<int:pk>", read),
]
