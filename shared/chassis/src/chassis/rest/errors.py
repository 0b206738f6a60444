"""Answers that REST framework has no exception for; their bodies have its shape."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """409: the request is sound, but the state of the resource does not allow it."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The state of the resource does not allow this."
    default_code = "conflict"


class Unprocessable(APIException):
    """422: the request contradicts an earlier one, such as a key used again with another body."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "The request contradicts an earlier one."
    default_code = "unprocessable"


class TooLarge(APIException):
    """413: the body is larger than this process reads."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


class Busy(APIException):
    """503: the work would have to wait too long; the same request may well succeed in ``wait`` seconds."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Too many others ask for this; try again."
    default_code = "busy"

    def __init__(self, detail: str | None = None, *, wait: int = 1) -> None:
        super().__init__(detail)
        # REST framework makes the Retry-After header of it.
        self.wait = wait
