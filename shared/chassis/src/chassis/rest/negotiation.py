"""Which renderer answers a request."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import Http404
from rest_framework.exceptions import APIException, NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request


class ContentNegotiation(DefaultContentNegotiation):
    """REST framework's own, except that an Accept header that cannot be read accepts nothing: a 406. Django's refusal
    of a query stays a 400."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except (APIException, Http404, SuspiciousOperation):
            raise
        except Exception:  # noqa: BLE001  what reads the parameters was made for mail, and fails in many ways
            raise NotAcceptable(available_renderers=renderers) from None
