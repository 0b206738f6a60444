"""A worker process with messages and tasks, against a real broker and a real database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import kombu
import pytest
from amqp.exceptions import AccessRefused
from chassis.process import tracing
from django.db import connection
from library.models import Book, Inbox, Visit
from library.post import message
from library.recorded import recording
from library.waiting import until
from strangler.adapters import toml
from strangler.domain.credentials import permissions

from tests.otlp import Collector

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="the inbox is written in PostgreSQL's SQL")
pytestmark = [postgresql, pytest.mark.django_db(transaction=True)]

TESTS = Path(__file__).parent


class Worker:
    """Processes of the library's worker; its log is in ``log``."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = environment
        self.log = log
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, pool: str = "threads", **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "library.worker", "worker", "--pool", pool]
        command += ["--concurrency", "2", "--loglevel", "INFO"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=TESTS, env={**self._environment, **environment}, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process


@pytest.fixture
def worker(post, rabbitmq, tmp_path) -> Iterator[Worker]:
    url = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}")),
        "BROKER_URL": rabbitmq,
        "DJANGO_SETTINGS_MODULE": "project",
        "PYTHONPATH": str(TESTS),
    }
    worker = Worker(environment, tmp_path / "worker.log")
    yield worker
    for process in worker.processes:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    print(worker.log.read_text() if worker.log.exists() else "")


@pytest.fixture
def tasks(post, rabbitmq, monkeypatch):
    """The app's tasks as another process sends them; their queue is empty."""
    monkeypatch.setenv("BROKER_URL", rabbitmq)
    from library import worker as module

    module.app.conf.broker_url = rabbitmq
    with module.app.connection_for_write() as connection:
        queue = module.app.amqp.queues["books.tasks"].bind(connection.default_channel)
        queue.declare()
        queue.purge()
    return module


def titles() -> list[str]:
    return sorted(Book.objects.values_list("title", flat=True))


def test_a_worker_killed_between_commit_and_acknowledgement_has_one_effect(post, worker, tmp_path):
    fatal = message("books.die", key="fatal", title="fatal", died=str(tmp_path / "died"))
    post.put(*(message(key=str(n), title=f"{n:02}") for n in range(20)), fatal)
    post.put(*(message(key=str(n), title=f"{n:02}") for n in range(20, 40)))

    assert worker.start().wait(60) == -signal.SIGKILL
    assert "fatal" in titles()
    worker.start()

    until(lambda: Inbox.objects.count() == 41)
    until(lambda: post.count("books") == 0)
    assert titles() == [*(f"{n:02}" for n in range(40)), "fatal"]
    assert post.dead() == []


def test_a_worker_that_is_asked_to_end_finishes_what_it_has_begun_and_gives_the_rest_back(post, worker):
    post.put(*(message("books.slow", key=str(n), title=f"{n:03}", seconds=0.1) for n in range(200)))
    process = worker.start()
    until(lambda: Inbox.objects.count() >= 20)

    process.terminate()

    assert process.wait(60) == 0
    # What has been finished has been acknowledged, or it would be in the queue again.
    until(lambda: post.count("books") == 200 - Inbox.objects.count())
    assert Book.objects.count() == Inbox.objects.count() < 200


def test_tasks_run_in_the_same_worker(tasks, worker, post):
    worker.start()

    tasks.shelve.delay("by a task")
    post.put(message(title="by a message"))

    until(lambda: titles() == ["by a message", "by a task"])


def test_a_worker_starts_though_tasks_wait_already(tasks, worker):
    for number in range(20):
        tasks.shelve.delay(f"{number:02}")

    process = worker.start()

    until(lambda: titles() == [f"{number:02}" for number in range(20)])
    assert process.poll() is None


def test_a_worker_that_is_asked_to_end_as_soon_as_it_is_ready_ends_well_though_tasks_wait(tasks, worker):
    for number in range(20):
        tasks.shelve.delay(f"{number:02}")
    process = worker.start()

    until(lambda: "Connected to amqp" in worker.log.read_text())
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 0
    assert "cannot schedule" not in worker.log.read_text()


def test_tasks_of_a_closed_capability_wait_until_it_is_opened(tasks, worker, post, side):
    side.fence()
    worker.start()
    until(lambda: "ready" in worker.log.read_text())
    tasks.shelve.delay("by a task")
    post.put(message(title="by a message"))
    until(lambda: (post.count("books.tasks"), post.count("books")) == (1, 1))

    side.reopen()
    until(lambda: titles() == ["by a message", "by a task"])
    side.fence()
    until(lambda: "Canceling queue books.tasks" in worker.log.read_text())
    tasks.shelve.delay("later")

    until(lambda: post.count("books.tasks") == 1)


def test_a_task_that_meets_the_fence_is_published_again_under_its_id(tasks, worker, post, side, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"
    worker.start()
    sent = tasks.shelve_later.delay("late", str(begun), str(go))
    until(begun.exists)

    side.fence()
    go.touch()

    until(lambda: post.count("books.tasks") == 1)
    # Until it is no longer subscribed, the worker may be given it once more, and sends it back again.
    assert until(lambda: waiting_task(tasks)) == sent.id
    side.reopen()
    until(lambda: titles() == ["late"])
    until(lambda: post.count("books.tasks") == 0)


def test_a_task_that_is_sent_back_stays_in_the_trace_of_who_has_sent_it(tasks, worker, post, side, tmp_path):
    begun, go = tmp_path / "begun", tmp_path / "go"
    with Collector() as collector:
        worker.start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
        with recording(), tracing.span("sender"):
            trace = tracing.trace_id()
            tasks.shelve_later.delay("late", str(begun), str(go))
        until(begun.exists)

        side.fence()
        go.touch()
        until(lambda: post.count("books.tasks") == 1)
        side.reopen()
        until(lambda: titles() == ["late"])

        spans = collector.await_(lambda spans: runs(spans) and "strangler.outcome" not in runs(spans)[-1].attributes)
        first, *_, last = runs(spans)
        assert {span.trace_id for span in spans} == {trace}
        assert (first.attributes["strangler.outcome"], first.status) == ("ignore", "unset")
        (event,) = first.events
        assert event.name == "strangler.sent_back"
        assert event.attributes.items() >= {"strangler.capability": "books", "strangler.side": "monolith"}.items()
        assert event.attributes["strangler.epoch"] in (1, 2)  # whether it has seen the fence before it met it
        assert last.parent_id in {span.span_id for span in runs(spans)}


def runs(spans):
    return [span for span in spans if span.name == "run library.worker.shelve_later"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("task", ["shelve_later", "shelve_once", "shelve_again"])
def test_a_task_that_meets_the_fence_is_not_lost_though_the_broker_is_away(
    tasks, worker, rabbitmq_node, side, tmp_path, task
):
    begun, go = tmp_path / "begun", tmp_path / "go"
    process = worker.start()
    getattr(tasks, task).delay("late", str(begun), str(go))
    until(begun.exists)

    side.fence()
    rabbitmq_node.stop()
    go.touch()
    until(lambda: f"library.worker.{task}[" in worker.log.read_text() and told(worker))
    rabbitmq_node.start()
    side.reopen()

    until(lambda: titles() == ["late"])
    assert process.poll() is None


def told(worker: Worker) -> bool:
    """That the task could not be sent back."""
    return any(said in worker.log.read_text() for said in ("task_not_sent_back", "] rejected", "Reject"))


@pytest.mark.parametrize("way", ["by_the_orm", "by_copy", "by_raw_psycopg", "by_another_alias"])
@pytest.mark.parametrize("task", ["write_by_the_way", "write_of_a_kind"])
def test_a_task_that_swallows_the_refusal_is_published_again_too(tasks, worker, post, side, tmp_path, task, way):
    begun, go = tmp_path / "begun", tmp_path / "go"
    worker.start()
    sent = getattr(tasks, task).delay(way, str(begun), str(go))
    until(begun.exists)

    side.fence()
    go.touch()

    until(lambda: post.count("books.tasks") == 1)
    assert until(lambda: waiting_task(tasks)) == sent.id
    assert (Visit.objects.count(), Book.objects.count()) == (0, 0)
    side.reopen()
    until(lambda: (Visit.objects.count(), Book.objects.count()) == (1, 1))
    until(lambda: post.count("books.tasks") == 0)


def test_messages_are_handled_though_the_queue_of_the_tasks_is_of_another_kind(tasks, worker, post, rabbitmq):
    with kombu.Connection(rabbitmq) as broker, broker.channel() as channel:
        channel.queue_delete("books.tasks")
        channel.queue_declare("books.tasks", durable=True, auto_delete=False)
        process = worker.start()
        try:
            until(lambda: "declaration_refused" in worker.log.read_text())

            post.put(message(title="by a message"))

            until(lambda: titles() == ["by a message"])
            assert process.poll() is None
        finally:
            channel.queue_delete("books.tasks")
    # The worker makes it then; a task that is sent before has no queue to wait in.
    until(lambda: "declaration_refused_over" in worker.log.read_text())
    tasks.shelve.delay("by a task")
    until(lambda: titles() == ["by a message", "by a task"])


def test_a_worker_that_would_fork_does_not_start(worker, post):
    assert worker.start(pool="prefork").wait(60) != 0
    assert "--pool threads" in worker.log.read_text()


def test_a_worker_whose_settings_lose_messages_does_not_start(worker, post):
    assert worker.start(INBOX_DAYS="1").wait(60) != 0
    assert "chassis.E002" in worker.log.read_text()


def waiting_task(tasks) -> str | None:
    with tasks.app.connection_for_read() as connection:
        found = kombu.Queue("books.tasks").bind(connection.default_channel).get(no_ack=False)
        return found and found.headers["id"]


@pytest.fixture
def as_services(rabbitmq_node, rabbitmq) -> dict[str, str]:
    """The broker's address as a user with the rights of each of two services, of which one is the library's."""
    project = toml.load(Path(__file__).parents[3] / "strangler.toml", addresses=False)
    patterns = {
        "books": permissions(project, "products").replace("products", "books"),
        "orders": permissions(project, "orders"),
    }
    found = {}
    for user, pattern in patterns.items():
        for command in (
            ["add_user", user, "secret"],
            ["set_permissions", user, pattern, f"{pattern}|^amq\\.default$", pattern],
        ):
            rabbitmq_node.control(*command)
        url = urlsplit(rabbitmq)
        found[user] = urlunsplit(url._replace(netloc=f"{user}:secret@{url.hostname}:{url.port}"))
    yield found
    for user in patterns:
        rabbitmq_node.control("delete_user", user)


def test_no_service_ends_another_one_s_worker(as_services, tasks, worker, post):
    process = worker.start(BROKER_URL=as_services["books"])
    until(lambda: "ready" in worker.log.read_text())
    shutdown = {"method": "shutdown", "arguments": {}, "destination": None, "pattern": None, "matcher": None}

    with kombu.Connection(as_services["orders"]) as orders:
        with suppress(AccessRefused):
            fanout = kombu.Exchange("celery.pidbox", "fanout", durable=False)
            kombu.Producer(orders.channel(), fanout, auto_declare=True).publish(shutdown)
        for node in (f"celery@{socket.gethostname()}", f"books@{socket.gethostname()}"):
            # The default exchange is nobody's: commands go through it to the queues of others.
            kombu.Producer(orders.channel()).publish(shutdown, routing_key=f"{node}.celery.pidbox")
        with pytest.raises(AccessRefused):
            orders.channel().queue_declare("celery@books.celery.pidbox")
    tasks.shelve.delay("by a task")
    post.put(message(title="by a message"))

    until(lambda: titles() == ["by a message", "by a task"])
    assert process.poll() is None
    assert "ACCESS_REFUSED" not in worker.log.read_text()
