"""Addresses that the sides use among themselves; the fence's middleware answers them before the project does.

Each view looks itself whether the request comes from another side, for a client may ask for any path.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

views: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {}
