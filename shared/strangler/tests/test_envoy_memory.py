"""Clients who go on sending, a byte at a time, cannot take the gateway's memory from all others."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from limited import MIB, Gateway, short_of_memory
from urllib3.exceptions import HTTPError

pytest.importorskip("envoy")

PATIENCE_SECONDS = 60
TRICKLE_SECONDS = 0.5  # shorter than any wait in need


class Hoarders:
    """Clients who have sent ``size`` bytes after ``head``, and go on with a byte now and then."""

    def __init__(self, stack: ExitStack, gateway: Gateway, head: bytes, size: int, count: int) -> None:
        self._clients = [stack.enter_context(gateway.connect()) for _ in range(count)]
        self.ended = 0
        self._over = threading.Event()
        for client in self._clients:
            client.settimeout(5)
            with suppress(OSError):  # where it was ended already
                client.sendall(head + bytes(size))
        thread = threading.Thread(target=self._trickle)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._over.set)

    def _trickle(self) -> None:
        going = list(self._clients)
        while not self._over.wait(TRICKLE_SECONDS):
            going = [client for client in going if self._goes_on(client)]
            self.ended = len(self._clients) - len(going)

    @staticmethod
    def _goes_on(client: socket.socket) -> bool:
        try:
            client.send(b"x")
        except OSError:
            return False
        return True


def answers(gateway: Gateway) -> bool:
    """In need any connection may be ended, too."""
    try:
        return gateway.request("GET", "/things").status == 200
    except (OSError, HTTPException, HTTPError):
        return False


@pytest.mark.parametrize(
    ("head", "size", "clients"),
    [
        (b"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n", MIB - 4096, 60),
        (b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n", MIB - 4096, 60),
    ],
    ids=["post", "elsewhere"],
)
def test_who_keeps_memory_that_is_short_is_ended_though_he_goes_on_sending(
    tmp_path: Path, head: bytes, size: int, clients: int
) -> None:
    with short_of_memory(tmp_path) as gateway, ExitStack() as stack:
        hoarders = Hoarders(stack, gateway, head, size, clients)
        deadline, in_a_row = time.monotonic() + PATIENCE_SECONDS, 0
        while not (hoarders.ended and in_a_row >= 3):
            in_a_row = in_a_row + 1 if answers(gateway) else 0
            assert time.monotonic() < deadline, f"{hoarders.ended} ended, {in_a_row} answered in a row"
            time.sleep(0.1)
