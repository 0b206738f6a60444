"""How long a thread waits for a client.

Note "patience": a thread that reads from a client, or writes to one, can be kept by him. So there is a limit to the
time that it waits altogether for one request: PATIENCE seconds, and one more for each RATE bytes that come, up to
PATIENCE again. What the application does meanwhile does not count. An answer must move on within STALLED seconds.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Any

PATIENCE = 20.0
RATE = 16 * 1024
STALLED = 30.0


class Slow(ConnectionResetError):  # noqa: N818  a client's way, not a fault
    """A client that has used up the thread's patience; gunicorn takes him for one who has left."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client was waited for too long")


class PatientSocket(socket.socket):
    """See the note "patience"."""

    patience = PATIENCE

    @classmethod
    def around(cls, plain: socket.socket) -> PatientSocket:
        """In place of it: the connection is this one's from now on."""
        timeout = plain.gettimeout()
        patient = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        patient.settimeout(timeout)
        return patient

    def begin(self) -> None:
        """For a new request."""
        self.patience = PATIENCE

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Raises Slow, besides what a socket does."""
        if self.gettimeout() == 0:
            return super().recv(bufsize, flags)
        began = time.monotonic()
        if not self._ready(select.POLLIN, self.patience):
            raise Slow
        data = super().recv(bufsize, flags)
        self.patience -= time.monotonic() - began
        self.patience = min(self.patience + len(data) / RATE, PATIENCE)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Raises Slow, besides what a socket does."""
        if self.gettimeout() == 0:
            return super().sendall(data, flags)
        left = memoryview(data).cast("B")
        while left:
            if not self._ready(select.POLLOUT, STALLED):
                raise Slow
            try:
                left = left[super().send(left, flags | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
        return None

    def _ready(self, event: int, seconds: float) -> bool:
        limit = self.gettimeout()
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(max(0.0, seconds if limit is None else min(seconds, limit)) * 1000))
