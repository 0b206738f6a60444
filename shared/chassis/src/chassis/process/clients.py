"""The client of a request, known by its address: each client has its own share of what is scarce."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest

NETWORK_BITS = 64  # bits: a client with one address of version 6 has all addresses that begin like it

_present: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def of(request: HttpRequest | None) -> str:
    """The last address that a proxy has appended; the kit's gateway sends only that one. For version 6, its network."""
    if request is None:
        return ""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    text = forwarded or str(request.META.get("REMOTE_ADDR", ""))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        plain = address.ipv4_mapped
        return str(plain or ipaddress.ip_network((int(address), NETWORK_BITS), strict=False))
    return str(address)


@contextmanager
def asking(request: HttpRequest) -> Iterator[None]:
    """The work inside is done for this request's client."""
    token = _present.set(request)
    try:
        yield
    finally:
        _present.reset(token)


def present() -> str:
    """The client of the request that this thread works on; empty where there is none."""
    return of(_present.get())
