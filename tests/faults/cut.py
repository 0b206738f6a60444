"""A link between two processes that can be cut: one of them is told this address instead of the other's."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOOPBACK = "127.0.0.1"
PIECE = 65536
# Closing then sends RST, as a machine that has lost its memory does.
ABRUPT = struct.pack("ii", 1, 0)


class Link:
    """Forwards connections from an address that stays the same to the present ``target``.

    While it is cut nothing passes in either direction, neither bytes nor the end of a connection; what was sent
    meanwhile arrives afterwards, as with TCP over a network that was away.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._refusing = False
        self._guard = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self, *, closing: bool) -> Iterator[None]:
        """Lets nothing through inside the block; ``closing`` also ends the connections, and each new one at once."""
        self._refusing = closing
        self._whole.clear()
        if closing:
            self._reset()
        try:
            yield
        finally:
            self._refusing = False
            self._whole.set()

    def close(self) -> None:
        """Ends the link and all that goes over it."""
        # Shut down first: that alone wakes the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._whole.set()
        self._reset()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._keep(near)
        if self._refusing:
            self._drop(near)
            return
        self._whole.wait()
        try:
            far = socket.create_connection((LOOPBACK, self._target()), timeout=5)
        except OSError:
            self._drop(near)
            return
        far.settimeout(None)
        self._keep(far)
        with suppress(OSError):  # a cut may have closed them already
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._forward, args=(near, far), daemon=True).start()
        self._forward(far, near)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(PIECE):
                self._whole.wait()
                sink.sendall(piece)
            self._whole.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._whole.wait()
            self._drop(source)
            self._drop(sink)

    def _keep(self, end: socket.socket) -> None:
        with self._guard:
            self._ends.add(end)

    def _drop(self, end: socket.socket) -> None:
        with self._guard:
            self._ends.discard(end)
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
            end.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        end.close()

    def _reset(self) -> None:
        with self._guard:
            ends = list(self._ends)
        for end in ends:
            self._drop(end)
