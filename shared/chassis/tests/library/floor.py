"""Asynchronous views that write what moves, in good ways and in bad ones; and `library.urls` beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from library import urls
from library.models import Book, Visit
from library.sessions import another_asynchronous_session
from library.urls import moment


async def add(request: HttpRequest) -> HttpResponse:
    """Both rows or none; the answer tells what has arrived of the body."""
    await Visit.objects.acreate(note="add")
    await asyncio.sleep(0)
    await sync_to_async(moment)()
    await Book.objects.acreate(title="Emma")
    return JsonResponse({"length": len(request.body)}, status=201)


async def swallow(request: HttpRequest) -> HttpResponse:
    """Takes no notice of the database's refusal."""
    await Visit.objects.acreate(note="swallow")
    await sync_to_async(moment)()

    def write() -> None:
        with transaction.atomic():
            Book.objects.create(title="Emma")

    with contextlib.suppress(DatabaseError):
        await sync_to_async(write)()
    return HttpResponse(status=201)


async def together(request: HttpRequest) -> HttpResponse:
    """Several writes that begin at the same time."""
    await sync_to_async(moment)()
    await asyncio.gather(Visit.objects.acreate(note="together"), Book.objects.acreate(title="Emma"))
    return HttpResponse(status=201)


async def threads(request: HttpRequest) -> HttpResponse:
    """Writes in a thread that is not the request's, with a session of its own."""

    def write() -> None:
        try:
            Visit.objects.create(note="thread")
        finally:
            connection.close()

    await sync_to_async(write, thread_sensitive=False)()
    await sync_to_async(moment)()
    await Book.objects.acreate(title="Emma")
    return HttpResponse(status=201)


async def driver(request: HttpRequest) -> HttpResponse:
    """Writes by an asynchronous connection of its own."""
    async with await another_asynchronous_session() as session:
        await sync_to_async(moment)()
        await session.execute("INSERT INTO library_book (title) VALUES ('Emma')")
    return HttpResponse(status=201)


async def blocks(request: HttpRequest) -> HttpResponse:
    """Whether the thread in which the ORM works is in a transaction."""
    return HttpResponse(str(await sync_to_async(lambda: connection.in_atomic_block)()))


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Writes after it has begun to answer."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun "
        await sync_to_async(moment)()
        with contextlib.suppress(DatabaseError):
            await Book.objects.acreate(title="Emma")
        yield b"and done"

    return StreamingHttpResponse(pieces())


views = {
    "add": add,
    "swallow": swallow,
    "together": together,
    "threads": threads,
    "driver": driver,
    "blocks": blocks,
    "stream": stream,
}
urlpatterns = [
    *urls.urlpatterns,
    *(path(f"{where}/async/{name}", view) for where in ("gate", "books") for name, view in views.items()),
]
