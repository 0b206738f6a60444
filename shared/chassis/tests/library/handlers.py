"""What the library does when it is told something.

``moment`` is passed by each handler after its first write, so that a test can do something just then.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chassis.messages.inbox import handles
from django.db import DatabaseError, connection, transaction

from library.models import Book, Visit


class Moment:
    """Runs what has been planned, every time it is passed; ``passed`` is what was told, in order."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.passed: list[str] = []
        self.planned: Callable[[], None] = _nothing

    def __call__(self, text: str) -> None:
        self.passed.append(text)
        self.planned()


def _nothing() -> None:
    pass


moment = Moment()


@handles("books.add", capability="books")
def add(message: Any) -> None:
    """One book for each message that counts."""
    Book.objects.create(title=message.data["title"])
    moment(message.data["title"])


@handles("books.shelve", capability="books", together=True)
def shelve(message: Any) -> None:
    """The same, perhaps with others in one transaction."""
    Book.objects.create(title=message.data["title"])
    moment(message.data["title"])


@handles("visits.visit.noted", capability="books", newest_only=True)
def note(message: Any) -> None:
    Book.objects.create(title=f"{message.subject} {message.version}")
    moment(message.subject)


@handles("books.refuse", capability="books")
def refuse(message: Any) -> None:
    """Never succeeds, and leaves nothing."""
    Book.objects.create(title="never")
    moment("refuse")
    raise ValueError("no such shelf")


@handles("books.swallow", capability="books")
def swallow(message: Any) -> None:
    """Takes no notice of the database's refusal."""
    Visit.objects.create(note="swallow")
    moment("swallow")
    try:
        with transaction.atomic():
            Book.objects.create(title="never")
    except DatabaseError:
        pass


@handles("books.swallow-inside", capability="books")
def swallow_inside(message: Any) -> None:
    """The same, for a refusal after a savepoint."""
    Visit.objects.create(note="swallow")
    try:
        with transaction.atomic():
            moment("swallow")
            Book.objects.create(title="never")
    except DatabaseError:
        pass


def ask(message: Any) -> str:
    """A call over the network, for all the library knows."""
    moment("asked in a transaction" if connection.in_atomic_block else "asked")
    return str(message.data["title"]).upper()


@handles("books.ask", capability="books", before=ask)
def add_asked(message: Any, answer: str) -> None:
    Book.objects.create(title=answer)


@handles("books.slow", capability="books")
def slow(message: Any) -> None:
    """Takes long enough to be killed in."""
    Book.objects.create(title=message.data["title"])
    time.sleep(message.data["seconds"])


@handles("books.die", capability="books")
def die(message: Any) -> None:
    """Kills the process between the commit and the acknowledgement, the first time."""
    Book.objects.create(title=message.data["title"])
    died = Path(message.data["died"])
    if not died.exists():
        died.touch()
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))


@handles("books.thread", capability="books")
def thread(message: Any) -> None:
    moment(f"{message.subject} {message.data['number']} {threading.current_thread().name}")


@handles("visits.write", capability="visits")
def write(message: Any) -> None:
    """A visit, and a book in the way that is named."""
    from library.ways import WAYS, taking_no_notice

    Visit.objects.create(note="of a handler")
    moment("write")
    with taking_no_notice(message.data["swallow"]), transaction.atomic():
        WAYS[message.data["way"]]()
