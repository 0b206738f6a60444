"""Stands before Django: answers requests of which Django cannot even make an object.

``application = doorstep.guarded(get_wsgi_application())`` in a project's ``wsgi.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIRequest

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# A wsgi.py imports this before Django is set up, so this imports nothing that needs Django to be set up.
UNREADABLE = "The Content-Type or the query cannot be read."


def guarded(application: WSGIApplication) -> WSGIApplication:
    """The same application, except that a request on which Django fails before any middleware gets a 400 and not a
    500."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_readable(environ):
            return application(environ, start_response)
        body = json.dumps({"detail": UNREADABLE}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return answer


def _is_readable(environ: WSGIEnvironment) -> bool:
    """Whether Django can make a request of it: Django reads the query at once where the Content-Type has a charset."""
    try:
        # Of a copy, because Django decodes the path in place, and would decode it again later.
        WSGIRequest(dict(environ))
    except Exception:  # noqa: BLE001  the parser of the parameters was made for mail, and fails in many ways
        return False
    return True
