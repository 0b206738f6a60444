"""Whom an HTTP client trusts."""

from __future__ import annotations

import ssl


def trusted(url: str) -> ssl.SSLContext | bool:
    """What httpx takes as ``verify`` for an address.

    httpx reads all authorities of the system for each client that it makes, also for ``http://``. That takes 20 ms of a
    processor, and many times that where a process makes its clients under load. A client for ``http://`` needs none: it
    trusts nobody, so an ``https://`` address that it meets all the same is refused, and not taken unseen.
    """
    return True if url.lower().startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
