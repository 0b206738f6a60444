"""What stands before Django: requests that Django cannot even make an object of.

``application = doorstep.guarded(get_wsgi_application())`` in a project's ``wsgi.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIRequest

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# A wsgi.py imports this before Django is set up, so this imports nothing that needs that.
UNREADABLE = "The Content-Type or the query cannot be read."


def guarded(application: WSGIApplication) -> WSGIApplication:
    """The same, except that what Django fails at before any middleware is answered with 400 and not with 500."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if _is_readable(environ):
            return application(environ, start_response)
        body = json.dumps({"detail": UNREADABLE}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return answer


def _is_readable(environ: WSGIEnvironment) -> bool:
    """Whether Django can make a request of it: where the Content-Type has a charset, it reads the query at once."""
    try:
        # Of a copy: Django decodes the path where it found it, and would do so again.
        WSGIRequest(dict(environ))
    except Exception:  # noqa: BLE001  what reads the parameters was made for mail, and fails in many ways
        return False
    return True
