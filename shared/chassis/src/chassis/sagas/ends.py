"""Waits for the ends of sagas: one session listens for all threads of this process that wait.

Note "heard or seen": where a saga ends, its process notifies after the commit. But nobody is notified when the end
arrives from another database, as in a switch, or when a process of a version before has ended the saga. So who waits
also looks, every `PATROL_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from hashlib import blake2b

import psycopg
from django.db import Error, connection, transaction

CHANNEL = "chassis_saga_end"
PATROL_SECONDS = 0.1  # between two looks of a thread that waits
DEAF_SECONDS = 0.01  # the same while no session listens yet
LISTEN_SECONDS = 1.0
IDLE_SECONDS = 5.0  # after which the session ends if nobody waits


def tell(kind: str, key: str) -> None:
    """Notifies all who wait for an end of this kind and key, after the caller's transaction and not within it: NOTIFY
    takes a lock of the whole server at commit."""
    if connection.vendor == "postgresql":
        transaction.on_commit(lambda: _notify(_name(kind, key)), robust=True)


def wait(kind: str, key: str, ended: Callable[[], bool], seconds: float) -> bool:
    """Waits until ``ended``, which is asked at once and whenever it may have become true; False when ``seconds`` pass
    first."""
    return _process.wait(_name(kind, key), ended, seconds)


def hang_up() -> None:
    """Ends the session that listens, and returns when it has ended: for tests, whose database is taken away."""
    _process.hang_up()


class Ends:
    """Those who wait in this process, and the thread that listens for them while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._listener: threading.Thread | None = None
        self._listening = False
        self._stopping = False

    def wait(self, name: str, ended: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        heard = threading.Event()
        with self._lock:
            self._waiting.setdefault(name, set()).add(heard)
        try:
            while not ended():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._listen()
                heard.wait(min(left, PATROL_SECONDS if self._listening else DEAF_SECONDS))
                heard.clear()
            return True
        finally:
            with self._lock:
                self._waiting[name].discard(heard)
                if not self._waiting[name]:
                    del self._waiting[name]

    def hang_up(self) -> None:
        with self._lock:
            listener, self._stopping = self._listener, True
        if listener is not None:
            listener.join(LISTEN_SECONDS * 10)
        self._stopping = False

    def _listen(self) -> None:
        with self._lock:
            if self._listener is None and not self._stopping:
                self._listener = threading.Thread(target=self._run, name="chassis-saga-ends", daemon=True)
                self._listener.start()

    def _run(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
            self._hear(connection.connection)
        except (Error, psycopg.Error):
            # Those who wait look by themselves; after a while they begin another session.
            time.sleep(LISTEN_SECONDS)
        finally:
            connection.close()
            with self._lock:
                self._listener, self._listening = None, False

    def _hear(self, session: psycopg.Connection) -> None:
        self._listening = True
        with self._lock:  # whoever looked before this session listened
            names = list(self._waiting)
        for name in names:
            self._wake(name)
        idle_since = time.monotonic()
        while not self._stopping:
            for notice in session.notifies(timeout=LISTEN_SECONDS):
                self._wake(notice.payload)
            with self._lock:
                if self._waiting:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > IDLE_SECONDS:
                    return

    def _wake(self, name: str) -> None:
        with self._lock:
            for heard in self._waiting.get(name, ()):
                heard.set()


_process = Ends()


def _notify(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, name))


def _name(kind: str, key: str) -> str:
    """A notification holds few bytes, and every role may listen."""
    return blake2b(f"{kind} {key}".encode(), digest_size=16).hexdigest()
