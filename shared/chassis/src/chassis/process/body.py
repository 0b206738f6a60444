"""A request's body: received whole before anything else is done, and kept for as often as it is needed.

Note "received first": a client that sends slowly makes no other client wait. So a body is received before the request
takes a place at work. With the server of `chassis.servers.web` this happens in bounded time, and in a bounded number of
threads (see `chassis.process.patience`).
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeGuard, TypeVar

from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from chassis import agreement, settings
from chassis.process import waiting
from chassis.process.patience import Crowded, Slow

PIECE_BYTES = 1 << 16
TOLD = agreement.environ_key(agreement.MAX_BODY)
Received = WSGIRequest | ASGIRequest  # what a server has made of what came over the wire
R = TypeVar("R", bound=Received)
KEPT = "chassis.process.body"  # in each request's environment, which its copies share
DONE = "chassis.process.done"  # the same
# Attributes that a first run may have set on a request. All others came with it, or were set before the fence.
TRACES = ("_body", "_post", "_files", "_post_parse_error", "resolver_match")


class RefusedBody(Exception):  # noqa: N818  an answer, not a fault
    """The body cannot be taken in; ``answer`` says so to the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer = JsonResponse({"detail": detail}, status=status)
        if status == 503:
            self.answer["Retry-After"] = "1"


class Body:
    """A request's body. Large ones are kept in a file, so Django's limits still hold.

    ``lost`` is true where other code has read it before, so that it can neither be repeated nor sent on.

    Raises:
        RefusedBody: it is too large, comes too slowly, or ends in the middle.
    """

    def __init__(self, request: Received) -> None:
        held = vars(request).get("_body")
        self.lost = held is None and bool(getattr(request, "_read_started", False))
        self._file = SpooledTemporaryFile(max_size=django_settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115
        try:
            if held is not None:
                self._file.write(held)
            elif not self.lost:
                self._receive(request)
        except BaseException:
            self.close()
            raise
        self.length = self._file.tell()

    def open(self) -> IO[bytes]:
        """The body from its first byte; for one reader at a time."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Gives its file up; a second call is no error."""
        self._file.close()

    def give_to(self, request: Received) -> None:
        """Lets the request read the body as if it came just now, also where it came in chunks."""
        if self.lost:
            return
        environ: dict[str, Any] = request.META
        chunked = environ.pop("HTTP_TRANSFER_ENCODING", None)
        if self.length or chunked:
            environ["CONTENT_LENGTH"] = str(self.length)
        if chunked:
            vars(request).pop("headers", None)
        # Django closes the stream that it has read, so it gets a stream of its own.
        stream = vars(request)["_stream"] = LimitedStream(self.open(), self.length)  # type: ignore[arg-type]
        if isinstance(request, WSGIRequest):
            environ["wsgi.input"] = stream
        vars(request)["_read_started"] = False

    def again(self, request: R) -> R:
        """The request as it came, without what an earlier run has set on it.

        It is not made from its environ again: Django has decoded the path there, and would decode it twice.
        """
        done(request)
        fresh: R = type(request).__new__(type(request))
        vars(fresh).update(vars(request))
        fresh.META = dict(request.META)
        if isinstance(fresh, WSGIRequest):
            fresh.environ = fresh.META
        if "COOKIES" in vars(fresh):
            vars(fresh)["COOKIES"] = dict(request.COOKIES)
        if not self.lost:
            for name in TRACES:
                vars(fresh).pop(name, None)
        fresh.resolver_match = None
        self.give_to(fresh)
        return fresh

    def _receive(self, request: Received) -> None:
        source, declared = vars(request)["_stream"], _declared(request.META)
        limit = _limit(request.META)
        if (declared or 0) > limit:
            raise _too_large(limit)
        if isinstance(request, WSGIRequest):
            source = request.environ["wsgi.input"]
        else:
            declared = None  # an ASGI server ends the request of a client who leaves, and tells where a body ends
        try:
            self._take(source, declared, limit)
        finally:
            waiting.process.end()

    def _take(self, source: Any, declared: int | None, limit: int) -> None:
        """Takes ``declared`` bytes, or all that come where none are declared."""
        left = limit + 1 if declared is None else declared
        while left and (piece := _piece(source, min(left, PIECE_BYTES))):
            self._file.write(piece)
            left -= len(piece)
        if declared is None and not left:
            raise _too_large(limit)
        if declared is not None and left:
            raise RefusedBody(400, "The body ended before its length.")


def is_received(request: HttpRequest) -> TypeGuard[Received]:
    """Whether it came by a server, and can be repeated."""
    return isinstance(request, Received)


def of(request: Received) -> Body:
    """The request's body, received now unless that was done before; the request reads it from its start.

    Raises RefusedBody.
    """
    kept = request.META.get(KEPT)
    if isinstance(kept, Body):
        return kept
    body = request.META[KEPT] = Body(request)
    body.give_to(request)
    return body


def done(request: HttpRequest) -> set[str]:
    """What has been done once for a request, in whatever run of it, and is not to be done again."""
    known: set[str] = request.META.setdefault(DONE, set())
    return known


def release(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The same response. Its end gives the body up, because a streamed answer may read the body until then."""
    body = request.META.get(KEPT)
    if isinstance(body, Body):
        response._resource_closers.append(body.close)  # type: ignore[attr-defined]
    return response


def _limit(environ: dict[str, Any]) -> int:
    """The project's limit, or the smaller one of the route, which the gateway tells."""
    told = str(environ.get(TOLD) or "")
    # A client that did not come by the gateway may have written this header, so a text of too many digits is ignored.
    return min(settings.max_body(), int(told)) if told.isdecimal() and len(told) < 20 else settings.max_body()


def _declared(environ: dict[str, Any]) -> int | None:
    """How many bytes come; None where they come in chunks, of which the server knows the last one."""
    if environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        return None
    text = str(environ.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() else 0


def _piece(source: Any, size: int) -> bytes:
    try:
        return bytes(source.read(size))
    except Crowded as error:
        raise RefusedBody(503, "Too many bodies are on their way here; try again.") from error
    except Slow as error:
        raise RefusedBody(408, "The body came too slowly.") from error
    except Exception as error:  # each server has its own errors for a client that leaves, and for malformed chunks
        raise RefusedBody(400, "The body cannot be read to its end.") from error


def _too_large(limit: int) -> RefusedBody:
    return RefusedBody(413, f"The body is larger than {limit} bytes, the most that is taken here.")
