"""Answers that REST framework has no exception for; their bodies have its shape."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """409: the request is sound, the state of the resource does not allow it."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The state of the resource does not allow this."
    default_code = "conflict"


class Unprocessable(APIException):
    """422: the request contradicts an earlier one, such as a key used again with another body."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "The request contradicts an earlier one."
    default_code = "unprocessable"
