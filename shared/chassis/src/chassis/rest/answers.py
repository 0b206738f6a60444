"""Errors have one shape wherever they arise: JSON with ``detail``, as REST framework's views have it.

Note "the last net": a value that no column takes should be refused by the serializer, with the name of its field. The
database or the driver refuses what gets past the serializers, and that is still the request's fault and not the
server's. So these refusals, and no others, are answered with 400. They are logged with their traceback, because each
shows that a check is missing.

In the root urlconf: ``from chassis.rest.answers import handler400, handler403, handler404, handler500``.
"""

from __future__ import annotations

import codecs
import logging
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DEFAULT_DB_ALIAS, DataError, Error, OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from rest_framework import views
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.response import Response

from chassis.process.details import detail, filled
from chassis.rest.doorstep import UNREADABLE
from chassis.rest.errors import TooLarge, shortened

logger = logging.getLogger("chassis.rest.answers")

# The codes of class 22 that say "this value cannot be stored or compared", and not "this expression went wrong".
UNSTORABLE = frozenset({"22001", "22003", "22007", "22008", "22009", "22015", "22021", "22P02", "22P03", "22P05"})
TOO_LONG_FOR_INDEX = "54000"
REFUSED = "A value is out of range, or holds characters that cannot be stored."


def is_unstorable(error: BaseException | None) -> bool:
    """Whether the database or its driver has refused a value; see the note "the last net"."""
    state = getattr(error.__cause__, "sqlstate", None) if isinstance(error, Error) else None
    if isinstance(error, DataError):
        return state is None or state in UNSTORABLE
    if isinstance(error, OperationalError):
        return state == TOO_LONG_FOR_INDEX
    if isinstance(error, UnicodeEncodeError):
        return error.reason == "surrogates not allowed"
    return type(error) is ValueError and "NUL (0x00)" in str(error)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's ``EXCEPTION_HANDLER``; None for what is the server's fault."""
    exc = _as_the_client_s(exc) or exc
    if isinstance(exc, ValidationError):
        exc.detail = shortened(exc.detail)
    if not connection.in_atomic_block or not _manages_its_own(context):
        return views.exception_handler(exc, context)
    # REST framework rolls back any open transaction, but a transaction around such a view belongs to other code.
    before = transaction.get_rollback()
    answer: Response | None = views.exception_handler(exc, context)
    transaction.set_rollback(before)
    return answer


def _manages_its_own(context: dict[str, Any]) -> bool:
    match = getattr(context.get("request"), "resolver_match", None)
    return DEFAULT_DB_ALIAS in getattr(getattr(match, "func", None), "_non_atomic_requests", ())


def _as_the_client_s(exc: Exception) -> Exception | None:
    if is_unstorable(exc):
        logger.warning("value_refused", exc_info=exc)
        return ParseError(REFUSED)
    if isinstance(exc, RequestDataTooBig):
        return TooLarge()
    if isinstance(exc, SuspiciousOperation):
        return ParseError(f"{HTTPStatus.BAD_REQUEST.phrase}.")
    if isinstance(exc, UnreadablePostError):
        return ParseError("The body ended too soon.")
    return None


class AnswersMiddleware:
    """Belongs before all that reads a request, and after what must answer in any case."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_readable(request):
            return detail(400, UNREADABLE)
        return filled(request, self.get_response(request))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """For views that are not REST framework's, such as the admin's."""
        if isinstance(exception, APIException):
            return _plain(exception)
        if not is_unstorable(exception) and not _is_no_number_that_was_sent(request, exception):
            return None
        logger.warning("value_refused", exc_info=exception)
        return detail(400, REFUSED)


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return detail(413, str(TooLarge.default_detail)) if isinstance(exception, RequestDataTooBig) else detail(400)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return detail(403)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return detail(404)


def handler500(request: HttpRequest) -> HttpResponse:
    """Called while the error is handled; an error in a middleware may be the request's fault, too."""
    error = sys.exc_info()[1]
    if is_unstorable(error):
        return detail(400, REFUSED)
    if isinstance(error, UnreadablePostError):
        return detail(400, "The body ended too soon.")
    return detail(500, "An error of the server; it has been logged.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """``CSRF_FAILURE_VIEW``."""
    return detail(403, reason)


def _is_no_number_that_was_sent(request: HttpRequest, error: Exception) -> bool:
    """Whether the error came from comparing a model's number with a text of the request, as the admin's actions and
    choices do."""
    if type(error) is not ValueError or "expected a number but got" not in str(error):
        return False
    sent = (text for given in (request.GET, request.POST) for _, texts in given.lists() for text in texts)
    return any(str(error).endswith(f"but got {text!r}.") for text in sent)


def _is_readable(request: HttpRequest) -> bool:
    """Django decodes query and forms by the charset that a request names, even ``base64`` or ``undefined``."""
    charset = (request.content_params or {}).get("charset")
    return not charset or _decodes(charset)


def _decodes(charset: str) -> bool:
    try:
        codecs.lookup(charset)
    except (LookupError, ValueError):
        return True  # Django ignores such a charset
    try:
        b"a=%20&b".decode(charset, "replace")
    except Exception:  # noqa: BLE001  each codec fails in its own way
        return False
    return True


def _plain(error: APIException) -> HttpResponse:
    """What REST framework would answer."""
    answer = JsonResponse({"detail": shortened(error.detail)}, status=error.status_code)
    if wait := getattr(error, "wait", None):
        answer["Retry-After"] = str(int(wait))
    return answer
