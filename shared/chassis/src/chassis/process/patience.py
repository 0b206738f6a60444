"""How long a thread waits for a client.

Note "patience": a client can keep a thread that reads from it or writes to it. So there is a limit to the time that a
thread waits in all for one request: PATIENCE_SECONDS, and one second more for each BYTES_PER_SECOND bytes that come, up
to PATIENCE_SECONDS again. What the application does meanwhile does not count. An answer must move on within
STALLED_SECONDS.

Note "grace": a thread that has waited longer than GRACE_SECONDS for one request counts as one that only waits
(`chassis.process.waiting`), whatever it waits for: headers, a body of any size, a reader. Where too many threads wait,
a thread that reads waits no longer, and a thread that writes waits STALLED_IN_NEED_SECONDS. A request that comes
through a gateway which keeps bodies is there within the grace.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Any

from chassis.process import waiting

PATIENCE_SECONDS = 20.0
BYTES_PER_SECOND = 16 * 1024
STALLED_SECONDS = 30.0
STALLED_IN_NEED_SECONDS = 2.0
GRACE_SECONDS = 0.1


class Slow(ConnectionResetError):  # noqa: N818  a client's way, not a fault
    """A client that has used up the thread's patience; gunicorn takes it for one that has left."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client was waited for too long")


class Crowded(Slow):
    """The client is slow, and too many threads wait already."""


class PatientSocket(socket.socket):
    """See the notes "patience" and "grace"."""

    patience = PATIENCE_SECONDS
    grace = GRACE_SECONDS

    @classmethod
    def around(cls, plain: socket.socket) -> PatientSocket:
        """A patient socket in place of the plain one: it owns the connection from now on."""
        timeout = plain.gettimeout()
        patient = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        patient.settimeout(timeout)
        return patient

    def begin(self) -> None:
        """Starts patience and grace anew, for a new request."""
        self.patience, self.grace = PATIENCE_SECONDS, GRACE_SECONDS

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Raises Slow, besides what a socket does."""
        if self.gettimeout() == 0:
            return super().recv(bufsize, flags)
        began = time.monotonic()
        if not self._graced(select.POLLIN, self.patience):
            if not waiting.process.begin("bodies"):
                raise Crowded
            if not self._ready(select.POLLIN, self.patience - (time.monotonic() - began)):
                raise Slow
        data = super().recv(bufsize, flags)
        self.patience -= time.monotonic() - began
        self.patience = min(self.patience + len(data) / BYTES_PER_SECOND, PATIENCE_SECONDS)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Raises Slow, besides what a socket does."""
        if self.gettimeout() == 0:
            return super().sendall(data, flags)
        left = memoryview(data).cast("B")
        while left:
            if not self._graced(select.POLLOUT, STALLED_SECONDS):
                seconds = STALLED_SECONDS if waiting.process.begin("answers") else STALLED_IN_NEED_SECONDS
                if not self._ready(select.POLLOUT, seconds):
                    raise Slow
            try:
                left = left[super().send(left, flags | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
        return None

    def _graced(self, event: int, seconds: float) -> bool:
        """Whether the socket is ready within what is left of the grace; the wait uses that up."""
        began = time.monotonic()
        ready = self._ready(event, min(seconds, self.grace))
        self.grace = max(0.0, self.grace - (time.monotonic() - began))
        return ready

    def _ready(self, event: int, seconds: float) -> bool:
        limit = self.gettimeout()
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(max(0.0, seconds if limit is None else min(seconds, limit)) * 1000))
