"""Stands before Django: answers requests of which Django cannot even make an object, or only slowly.

``application = doorstep.guarded(get_wsgi_application())`` in a project's ``wsgi.py``, and
``application = doorstep.guarded_asgi(get_asgi_application())`` in its ``asgi.py``.

Note "escapes": Python before 3.11.10 and 3.12.6 looks through the rest of a cookie at each escape in it. The largest
cookie with escapes that Django itself makes, with messages in it, has 2,048 characters.

Note "remembered for ever": Python keeps each name of a character set that was looked up, known or not, and as it was
spelled. So no name but a usual one gets as far as where Django looks it up.
"""

from __future__ import annotations

import encodings
import json
import pkgutil
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from encodings.aliases import aliases
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.utils.http import parse_header_parameters

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# A wsgi.py imports this before Django is set up, so this imports nothing that needs Django to be set up.
UNREADABLE = "The Content-Type or the query cannot be read."
TOO_LONG = "The header {} is too long."
# What Django takes long to read, or writes into logs, before anybody has looked whether it is wanted.
LONGEST_CHARACTERS = {
    "CONTENT_TYPE": ("Content-Type", 512),
    "HTTP_COOKIE": ("Cookie", 8190),  # gunicorn's own limit for a header, if nothing is set
    "HTTP_HOST": ("Host", 262),
}
MOST_ESCAPES = 1024  # see the note "escapes"

USUAL = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})
UNKNOWN = "unknown"
_CHARSETS = frozenset({*aliases.values(), *(each.name for each in pkgutil.iter_modules(encodings.__path__))})
_BOUNDARY = re.compile(r"[\w'()+,./:=? -]{1,70}", re.ASCII)  # RFC 2046


def guarded(application: WSGIApplication) -> WSGIApplication:
    """The same application, except that a request on which Django fails before any middleware gets a 400 and not a
    500."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = _refusal(environ)
        if not refusal and not _is_readable(lambda: WSGIRequest(dict(environ))):
            refusal = UNREADABLE
        if not refusal:
            return application(environ, start_response)
        body = _body(refusal)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return answer


def guarded_asgi(application: ASGIApplication) -> ASGIApplication:
    """The same for ``asgi.py``; what is no HTTP passes as it is. A request is refused before its body is read."""
    return _Guarded(application)


class _Guarded:
    def __init__(self, application: ASGIApplication) -> None:
        self.__wrapped__ = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            named = _named(scope)
            content_type = named.get("CONTENT_TYPE")
            refusal = _refusal(named)
            if named.get("CONTENT_TYPE") != content_type:
                scope = {**scope, "headers": list(_with_content_type(scope, named["CONTENT_TYPE"]))}
            if not refusal and not _is_readable(lambda: ASGIRequest(scope, BytesIO())):
                refusal = UNREADABLE
            if refusal:
                await _refuse(scope, send, _body(refusal))
                return
        await self.__wrapped__(scope, receive, send)


def _named(scope: Scope) -> dict[str, str]:
    """The headers that have a limit, as Django names and joins them."""
    found: dict[str, list[str]] = {}
    for name, value in scope.get("headers", ()):
        key = name.decode("latin-1").upper().replace("-", "_")
        if b"_" not in name and (key := key if key in LONGEST_CHARACTERS else f"HTTP_{key}") in LONGEST_CHARACTERS:
            found.setdefault(key, []).append(value.decode("latin-1"))
    return {key: ",".join(values) for key, values in found.items()}


def _with_content_type(scope: Scope, content_type: str) -> Iterable[tuple[bytes, bytes]]:
    yield from ((name, value) for name, value in scope["headers"] if name.lower() != b"content-type")
    yield b"content-type", content_type.encode("latin-1")


async def _refuse(scope: Scope, send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _body(refusal: str) -> bytes:
    return json.dumps({"detail": refusal}).encode()


def _refusal(named: MutableMapping[str, Any]) -> str:
    """Why Django is not asked; nothing where it is, as far as these headers go. Leaves only a usual name of a character
    set in them."""
    for key, (name, longest) in LONGEST_CHARACTERS.items():
        if len(named.get(key, "")) > longest:
            return TOO_LONG.format(name)
    if named.get("HTTP_COOKIE", "").count("\\") > MOST_ESCAPES:
        return TOO_LONG.format("Cookie")
    try:
        if "charset" in (content_type := named.get("CONTENT_TYPE", "")).lower():
            named["CONTENT_TYPE"] = _with_usual_charset(content_type)
    except Exception:  # noqa: BLE001  as below
        return UNREADABLE
    return ""


def _with_usual_charset(content_type: str) -> str:
    """See the note "remembered for ever". Raises ValueError, and what the parser of the parameters fails with."""
    kind, parameters = parse_header_parameters(content_type)
    charset = parameters.get("charset")
    if charset is None or charset.lower() in USUAL:
        return content_type
    if not charset.isprintable():
        raise ValueError("no name of a character set")
    normal = encodings.normalize_encoding(charset.lower())
    known = aliases.get(normal, normal)
    boundary = parameters.get("boundary", "")
    kept = f'; boundary="{boundary}"' if _BOUNDARY.fullmatch(boundary) else ""
    return f"{kind}; charset={known if known in _CHARSETS else UNKNOWN}{kept}"


def _is_readable(make: Callable[[], object]) -> bool:
    """Whether Django can make a request: it reads the query at once where the Content-Type has a charset.

    ``make`` makes one that nobody uses: Django decodes a path in place, and would decode it again later.
    """
    try:
        make()
    except Exception:  # noqa: BLE001  the parser of the parameters was made for mail, and fails in many ways
        return False
    return True
