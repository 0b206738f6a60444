from __future__ import annotations

import ssl
import time
from collections.abc import Callable

from chassis.calls.client import Client
from chassis.process import tls


def test_for_plain_http_nobody_is_trusted_and_certificates_are_demanded_all_the_same():
    context = tls.trusted("http://gateway:8080")

    assert isinstance(context, ssl.SSLContext)
    assert context.get_ca_certs() == []
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_for_tls_httpx_trusts_whom_it_always_trusts():
    assert tls.trusted("https://gateway") is True
    assert tls.trusted("HTTPS://gateway") is True


def test_a_client_for_plain_http_reads_no_authorities():
    """Ten of them take less time than one that reads them."""
    assert _taken(lambda: [_client("http://gateway") for _ in range(10)]) < _taken(lambda: _client("https://gateway"))


def _client(url: str) -> None:
    Client("catalogue", url, caller="lending").close()


def _taken(make: Callable[[], object]) -> float:
    """The least processor time of three."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        make()
        times.append(time.thread_time() - began)
    return min(times)
