"""Answers that REST framework has no exception for; their bodies have its shape."""

from __future__ import annotations

from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

# An answer that told of each of a hundred thousand wrong values would be much larger than the request.
MOST_ERRORS = 20


def shortened(detail: Any) -> Any:
    """The first errors of a ``ValidationError``'s detail, at most `MOST_ERRORS`, each at its field and place."""
    return _first(detail, MOST_ERRORS)[0]


def _first(detail: Any, most: int) -> tuple[Any, int]:
    """The detail with at most so many texts, and how many more there might have been."""
    if isinstance(detail, dict):
        found: dict[Any, Any] = {}
        for name, held in detail.items():
            if most <= 0:
                break
            found[name], most = _first(held, most)
        return found, most
    if isinstance(detail, list):
        # What stands before an error stays, because the place in the list says where the error is.
        kept: list[Any] = []
        for held in detail:
            if most <= 0:
                break
            one, most = _first(held, most)
            kept.append(one)
        return kept, most
    return detail, most - 1


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
