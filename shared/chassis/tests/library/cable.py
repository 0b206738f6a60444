"""The wire between a client and a server, which a test can cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit


class Cable:
    """Leads to the server of ``url``; ``cut_after`` is how many bytes still pass towards it before all is cut once."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._answers = threading.Event()
        self._answers.set()
        self.cut_after: int | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        account = self._there.netloc.rpartition("@")[0]
        return urlunsplit(self._there._replace(netloc=f"{account}@127.0.0.1:{self._listener.getsockname()[1]}"))

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.set()
        self._listener.close()
        self.cut()

    def hold(self) -> None:
        """From now on nothing passes from the server, and nobody is told."""
        self._answers.clear()

    def cut(self) -> None:
        """Every connection breaks off; new ones can be made."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                assert self._there.port is not None
                server = socket.create_connection(("127.0.0.1", self._there.port))
                with self._lock:
                    self._ends += [client, server]
                threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(4096):
                if counted and self._is_due(len(chunk)):
                    self.cut()
                    return
                if not counted:
                    self._answers.wait()
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_due(self, passing: int) -> bool:
        with self._lock:
            if self.cut_after is None:
                return False
            self.cut_after -= passing
            if self.cut_after > 0:
                return False
            self.cut_after = None
            self.cuts += 1
            return True
