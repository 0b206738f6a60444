"""The library's Celery app: ``celery -A library.worker worker --pool threads``."""

from __future__ import annotations

import time
from pathlib import Path

from celery import Celery
from chassis import settings

app = settings.consuming(Celery("library"))
app.conf.update(settings.celery(queue="books.tasks"))


@app.task
def shelve(title: str) -> None:
    from library.models import Book

    Book.objects.create(title=title)


@app.task
def shelve_later(title: str, begun: str, go: str) -> None:
    """Says that it has begun, and writes when it is told to go."""
    from library.models import Book

    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.01)
    Book.objects.create(title=title)
