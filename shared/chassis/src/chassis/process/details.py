"""The shape of every error: JSON with ``detail``."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase


def detail(status: int, text: str = "") -> JsonResponse:
    """An answer with that status; its text is the status's own name unless one is given."""
    return JsonResponse({"detail": text or f"{HTTPStatus(status).phrase}."}, status=status)


def filled(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The same response, with a body that names the error where it had none."""
    if response.status_code < 400 or request.method == "HEAD" or not isinstance(response, HttpResponse):
        return response
    if not response.content:
        said = detail(response.status_code)
        response.content = said.content
        response["Content-Type"] = said["Content-Type"]
        response["Content-Length"] = str(len(said.content))
    return response
