"""Two beats with one schedule, one on each side, on one broker: only the owner's publishes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import kombu
import psycopg
import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from chassis.servers import schedule
from django.db import connection
from library.cable import Cable
from library.programs import MIGRATE, Running, run
from library.side import SIDE_SQL
from library.waiting import until

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL")

BEAT = (sys.executable, "-m", "celery", "-A", "library.worker", "beat", "--loglevel", "INFO")
EMBEDDED = (
    *(sys.executable, "-m", "celery", "-A", "library.worker", "worker", "--beat", "--pool", "threads"),
    *("--without-gossip", "--without-mingle", "--loglevel", "INFO", "--hostname", "{name}@%h"),
)
PERIOD = 0.5


@dataclass
class Tick:
    """One publication: which process it came from, and when."""

    origin: int
    at: float


class Queue:
    """Takes what is published into a queue, as it comes."""

    def __init__(self, url: str, name: str, *, quorum: bool) -> None:
        self._connection = kombu.Connection(url)
        arguments = {"x-queue-type": "quorum"} if quorum else None
        self._queue = kombu.Queue(name, durable=True, queue_arguments=arguments)(self._connection.default_channel)
        self._queue.declare()
        self._queue.purge()

    def take(self, seconds: float) -> list[Tick]:
        """All that comes within so many seconds."""
        taken, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            found = self._queue.get(no_ack=True)
            if found is None:
                time.sleep(0.01)
                continue
            taken.append(Tick(int(found.headers["origin"].split("@")[0].removeprefix("gen")), time.monotonic()))
        return taken

    def close(self) -> None:
        self._queue.delete()
        self._connection.close()


class There:
    """The service's side of the books, in a database of its own."""

    def __init__(self, url: str) -> None:
        self._session = psycopg.connect(url, autocommit=True)
        self._session.execute(SIDE_SQL)

    def say(self, *, opened: bool, bounce_to: str | None) -> None:
        self._session.execute(
            "INSERT INTO strangler.side (capability, side, epoch, open, bounce_to) VALUES ('books', 'service', 1, %s, "
            "%s) ON CONFLICT (capability) DO UPDATE SET open = excluded.open, bounce_to = excluded.bounce_to",
            (opened, bounce_to),
        )


@pytest.fixture
def queues(rabbitmq, post) -> Iterator[tuple[Queue, Queue]]:
    """The books' tasks, and those of nobody."""
    made = Queue(rabbitmq, "books.tasks", quorum=True), Queue(rabbitmq, f"nobody-{uuid4()}", quorum=False)
    yield made
    for queue in made:
        queue.close()


@pytest.fixture
def beats(queues, server, rabbitmq, tmp_path, transactional_db) -> Iterator[Callable[..., tuple[Running, Running]]]:
    """Starts one on each side: the monolith's, and the service's."""
    running: list[Running] = []
    url = urlsplit(os.environ["DATABASE_URL"])
    here = urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))

    def start(command=BEAT) -> tuple[Running, Running]:
        common = {"BROKER_URL": rabbitmq, "BEAT": queues[1]._queue.name, "DJANGO_SETTINGS_MODULE": "project"}
        for name, database, owns in (("monolith", here, "1"), ("service", server.url, "0")):
            # Of two workers of one name the second ends at once.
            named = [word.format(name=name) for word in command]
            running.append(Running(named, tmp_path / name, **common, DATABASE_URL=database, OPEN_WITHOUT_MOVE=owns))
        return running[0], running[1]

    yield start
    with ExitStack() as left:
        # None is left to publish into the next test, also where another does not end.
        for each in running:
            left.enter_context(each)
        codes = [each.end() for each in running]
        for each in running:
            print(each.said[-5000:])
        assert set(codes) <= {0}


def assert_once_a_period(ticks: list[Tick], origin: int, seconds: float) -> None:
    assert {tick.origin for tick in ticks} == {origin}
    assert seconds / PERIOD / 2 <= len(ticks) <= seconds / PERIOD + 1


@postgresql
def test_only_the_owners_beat_publishes_before_a_move_in_it_and_after_it(beats, queues, server, side):
    tasks, nobodys = queues
    there = There(server.url)
    there._session.execute("DELETE FROM strangler.side")
    monolith, service = (each.process.pid for each in beats())
    until(lambda: {tick.origin for tick in nobodys.take(1.0)} == {monolith, service}, 60)  # both are at work

    tasks.take(0.5)
    assert_once_a_period(tasks.take(3), monolith, 3)  # the service knows of no move

    there.say(opened=False, bounce_to="monolith")
    assert_once_a_period(tasks.take(3), monolith, 3)

    side.fence()
    there.say(opened=True, bounce_to=None)
    side.hand_over()
    tasks.take(0.5)
    assert_once_a_period(tasks.take(3), service, 3)

    there.say(opened=False, bounce_to="monolith")
    side.reopen()
    tasks.take(0.5)
    assert_once_a_period(tasks.take(3), monolith, 3)
    assert {tick.origin for tick in nobodys.take(2)} == {monolith, service}  # what is nobody's is everybody's


@postgresql
def test_what_is_due_in_a_pause_is_published_once_by_the_next_owner(beats, queues, server, side):
    tasks, nobodys = queues
    there = There(server.url)
    there.say(opened=False, bounce_to="monolith")
    monolith, service = (each.process.pid for each in beats())
    until(lambda: {tick.origin for tick in nobodys.take(1.0)} == {monolith, service}, 60)

    side.fence()
    there.say(opened=False, bounce_to=None)
    tasks.take(0.2)
    in_the_pause = tasks.take(2 * PERIOD)
    there.say(opened=True, bounce_to=None)
    side.hand_over()
    after = tasks.take(PERIOD)

    assert in_the_pause == []
    assert {tick.origin for tick in after} == {service}
    assert 1 <= len(after) <= 2


@postgresql
def test_a_beat_within_a_worker_is_guarded_too(beats, queues, server, side):
    tasks, nobodys = queues
    there = There(server.url)
    side.fence()
    side.hand_over()
    there.say(opened=False, bounce_to="monolith")  # nobody's, as after a move that is being recovered
    run(MIGRATE, DATABASE_URL=server.url)
    beats(EMBEDDED)
    until(lambda: len({tick.origin for tick in nobodys.take(1)}) == 2, 60)

    assert tasks.take(3) == []


@pytest.mark.parametrize("silent_from", ["task elsewhere", "sent. id->"])
@postgresql
def test_a_beat_that_is_asked_to_end_in_the_midst_of_a_publication_ends(
    queues, server, rabbitmq, tmp_path, silent_from
):
    """It waits for the answer to the declaration of a queue, or for a confirmation."""
    common = {"DATABASE_URL": server.url, "BEAT": queues[1]._queue.name, "DJANGO_SETTINGS_MODULE": "project"}
    loud = (*BEAT[:-1], "DEBUG")  # says also when a publication is confirmed
    with Cable(rabbitmq) as cable, Running(loud, tmp_path / "beat", **common, BROKER_URL=cable.url) as beat:
        until(lambda: silent_from in beat.said, 60)
        cable.hold()
        until(lambda: beat.said.count("Sending due task") > beat.said.count("sent. id->"))

        assert beat.end() == 0


class Beat:
    """A scheduler that keeps what it would have sent."""

    def __init__(self, **options: Any) -> None:
        app = Celery("test", set_as_current=False, broker="memory://")
        app.conf.task_default_queue = "books.tasks"
        app.conf.task_routes = {"routed.*": {"queue": "visits.tasks"}, "*": {"confirm_timeout": 5}}
        self.sent: list[str] = []
        self.scheduler: Any = Scheduler(app, lazy=True)
        self.scheduler.send_task = lambda name, *_, **__: self.sent.append(name)
        schedule.guard(self.scheduler)
        schedule.guard(self.scheduler)
        self.app = app

        # Not shared: Celery would give it to the apps of the other tests too.
        @app.task(name="of.a.queue", queue="visits.tasks", shared=False)
        def of_a_queue() -> None: ...

    def entry(self, task: str, **options: Any) -> ScheduleEntry:
        return ScheduleEntry(name=task, task=task, schedule=1.0, options=options, app=self.app)


@pytest.mark.parametrize(
    ("task", "options", "capability"),
    [
        ("plain", {}, "books"),
        ("plain", {"queue": "visits.tasks"}, "visits"),
        ("plain", {"queue": kombu.Queue("visits.tasks")}, "visits"),
        ("plain", {"queue": "celery"}, None),
        ("routed.by.name", {}, "visits"),
        ("of.a.queue", {}, "visits"),
        ("plain", {"exchange": "", "routing_key": "visits.tasks"}, "visits"),
    ],
)
def test_an_entry_belongs_to_whom_its_queue_belongs(task, options, capability):
    beat = Beat()

    assert schedule.capability_of(beat.app, beat.entry(task, **options)) == capability


@pytest.mark.parametrize("open_without_move", ["0", "1"])
@postgresql
def test_a_beat_without_its_database_publishes_nothing_of_a_capability(
    queues, server, rabbitmq, tmp_path, open_without_move
):
    tasks, _ = queues
    common = {"DATABASE_URL": server.url, "BEAT": queues[1]._queue.name, "DJANGO_SETTINGS_MODULE": "served"}
    common |= {"BROKER_URL": rabbitmq, "OPEN_WITHOUT_MOVE": open_without_move}
    there = There(server.url)
    there.say(opened=True, bounce_to=None)
    with Running(BEAT, tmp_path / "first", **common) as beat:
        until(lambda: tasks.take(0.1))
        server.stop()
        until(lambda: "owner_unknown" in beat.said)
        tasks.take(0.1)
        assert tasks.take(4 * PERIOD) == [], "what it knows may have become wrong"

        assert beat.end() == 0

    with Running(BEAT, tmp_path / "second", **common) as beat:
        until(lambda: "owner_unknown" in beat.said)
        assert tasks.take(4 * PERIOD) == []

        server.start()
        until(lambda: tasks.take(0.1))
        assert beat.said.count('"owner_unknown"') == 1
        There(server.url).say(opened=False, bounce_to="monolith")
        tasks.take(PERIOD)
        assert tasks.take(4 * PERIOD) == []
        assert beat.end() == 0
