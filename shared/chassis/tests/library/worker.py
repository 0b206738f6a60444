"""The library's Celery app: ``celery -A library.worker worker --pool threads``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery, Task, shared_task
from chassis import environment
from chassis.servers import celery_app
from django.db import transaction

PERIOD = 0.5

app = celery_app.consuming(Celery("library"))
app.conf.update(environment.celery(queue="books.tasks"))
if "BEAT" in os.environ:
    # Of the books, by two ways of naming the queue; of nobody, and of a capability that no move concerns.
    app.conf.update(
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=1,
        beat_schedule={
            "tick": {"task": "library.worker.tick", "schedule": PERIOD},
            "elsewhere": {
                "task": "library.worker.tick",
                "schedule": PERIOD,
                "options": {"queue": os.environ["BEAT"]},
            },
        },
    )


@app.task
def tick() -> None:
    """Is only published."""


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


@app.task(acks_late=False)
def shelve_once(title: str, begun: str, go: str) -> None:
    """The same, acknowledged before it is run."""
    shelve_later(title, begun, go)


@app.task(autoretry_for=(Exception,), default_retry_delay=0)
def shelve_again(title: str, begun: str, go: str) -> None:
    """The same, tried again after any error."""
    shelve_later(title, begun, go)


class OwnTask(Task):
    """A base as projects have them."""

    abstract = True


def _write(way: str, begun: str, go: str) -> None:
    from library.models import Visit
    from library.ways import WAYS, taking_no_notice

    Path(begun).touch()
    while not Path(go).exists():
        time.sleep(0.01)
    with transaction.atomic():
        Visit.objects.create(note="of a task")
        with taking_no_notice(True), transaction.atomic():
            WAYS[way]()


@shared_task
def write_by_the_way(way: str, begun: str, go: str) -> None:
    """Takes no notice of refusals."""
    _write(way, begun, go)


@app.task(base=OwnTask)
def write_of_a_kind(way: str, begun: str, go: str) -> None:
    """The same, of a base of its own."""
    _write(way, begun, go)
