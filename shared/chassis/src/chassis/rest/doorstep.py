"""Stands before Django: answers requests of which Django cannot even make an object.

``application = doorstep.guarded(get_wsgi_application())`` in a project's ``wsgi.py``.

Note "remembered for ever": Python keeps each name of a character set that was looked up, known or not, and as it was
spelled. So no name but a usual one gets as far as where Django looks it up.
"""

from __future__ import annotations

import encodings
import json
import pkgutil
import re
from collections.abc import Iterable
from encodings.aliases import aliases
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIRequest
from django.utils.http import parse_header_parameters

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# A wsgi.py imports this before Django is set up, so this imports nothing that needs Django to be set up.
UNREADABLE = "The Content-Type or the query cannot be read."
TOO_LONG = "The header {} is too long."
# What Django takes long to read, or writes into logs, before anybody has looked whether it is wanted.
LONGEST_CHARACTERS = {"CONTENT_TYPE": ("Content-Type", 512), "HTTP_HOST": ("Host", 262)}

USUAL = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})
UNKNOWN = "unknown"
_CHARSETS = frozenset({*aliases.values(), *(each.name for each in pkgutil.iter_modules(encodings.__path__))})
_BOUNDARY = re.compile(r"[\w'()+,./:=? -]{1,70}", re.ASCII)  # RFC 2046


def guarded(application: WSGIApplication) -> WSGIApplication:
    """The same application, except that a request on which Django fails before any middleware gets a 400 and not a
    500."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = _refusal(environ)
        if not refusal:
            return application(environ, start_response)
        body = json.dumps({"detail": refusal}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return answer


def _refusal(environ: WSGIEnvironment) -> str:
    """Why Django is not asked; nothing where it is. Leaves only a usual name of a character set in the request."""
    for key, (name, longest) in LONGEST_CHARACTERS.items():
        if len(environ.get(key, "")) > longest:
            return TOO_LONG.format(name)
    try:
        if "charset" in (content_type := environ.get("CONTENT_TYPE", "")).lower():
            environ["CONTENT_TYPE"] = _with_usual_charset(content_type)
    except Exception:  # noqa: BLE001  as below
        return UNREADABLE
    return "" if _is_readable(environ) else UNREADABLE


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


def _is_readable(environ: WSGIEnvironment) -> bool:
    """Whether Django can make a request of it: Django reads the query at once where the Content-Type has a charset."""
    try:
        # Of a copy, because Django decodes the path in place, and would decode it again later.
        WSGIRequest(dict(environ))
    except Exception:  # noqa: BLE001  the parser of the parameters was made for mail, and fails in many ways
        return False
    return True
