"""What an OpenAPI document says of tokens and errors. Needs drf-spectacular, so it is imported only where that is
installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request

ERRORS = {
    400: "The request cannot be read, or a value in it is refused: by field, or with `detail`.",
    401: "No token, or one that opens nothing.",
    403: "Not for this caller.",
    404: "There is no such thing.",
    406: "Only JSON can be had.",
    409: "The state of the resource does not allow this.",
    413: "The body is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many requests; again after `Retry-After` seconds.",
    503: "Busy, changing hands, or without its database; again after `Retry-After` seconds.",
}
RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}


class ErrorSerializer(serializers.Serializer[Any]):
    """What every error but a refused value looks like."""

    detail = serializers.CharField()


class AutoSchema(SpectacularSchema):
    """Adds to each operation the errors with which it can answer.

    They follow from the view: its ways to sign in, permissions, throttles, body and pages. The view itself says what
    only it knows: ``refusals = {"POST": (409,)}``. An operation is described as open to everybody where all its
    permissions, of whatever class, let an anonymous request pass.
    """

    def get_auth(self) -> list[dict[str, Any]]:
        ways: list[dict[str, Any]] = super().get_auth()
        try:
            is_open = self._is_open()
        except Exception:  # noqa: BLE001 - a team's permission may ask for what only a real request has
            return ways
        return [*(way for way in ways if way), *([{}] if is_open else [])]

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in sorted(set(self._refusals())):
            bodies.setdefault(str(status), self._refusal(status))
        return bodies

    def _refusals(self) -> Iterator[int]:
        view = self.view
        yield from (400, 406, 503)
        if view.get_authenticate_header(view.request):
            yield 401
        if any(not isinstance(permission, (AllowAny, IsAuthenticated)) for permission in view.get_permissions()):
            yield 403
        if "{" in self.path or self._has_pages():
            yield 404
        if self.method in ("POST", "PUT", "PATCH"):
            yield from (413, 415)
        if view.get_throttles():
            yield 429
        yield from getattr(view, "refusals", {}).get(self.method, ())

    def _is_open(self) -> bool:
        """Whether the permissions let a request pass that nobody has signed."""
        request = Request(HttpRequest())
        request._request.method = self.method
        return all(permission.has_permission(request, self.view) for permission in self.view.get_permissions())

    def _has_pages(self) -> bool:
        return bool(self._get_paginator() and self._is_list_view())  # type: ignore[no-untyped-call]

    def _refusal(self, status: int) -> dict[str, Any]:
        shape: Any = ErrorSerializer if status != 400 else {"type": "object", "additionalProperties": {}}
        said: dict[str, Any] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            OpenApiResponse(shape, description=ERRORS[status]), str(status), ["application/json"]
        )
        return {"headers": RETRY_AFTER, **said} if status in (429, 503) else said


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    target_class = "chassis.identity.tokens.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ServiceTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """One scheme per audience, because a project may hold several."""

    target_class = "chassis.identity.tokens.ServiceTokenAuthentication"
    match_subclasses = True

    def __init__(self, target: Any) -> None:
        super().__init__(target)  # type: ignore[no-untyped-call]
        self.name = f"service-{target.audience}"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": f"A service's own token, for the audience {self.target.audience}.",
        }
