"""Makes a Celery worker a service's worker: it also consumes messages, and consumes tasks and messages only for
capabilities that are open here."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.checks import ERROR, run_checks
from prometheus_client import Counter

from chassis import settings
from chassis.extras import missing
from chassis.ownership import owners, traces
from chassis.ownership.watch import Watch, backoff
from chassis.process import about, logs, telemetry, tracing, vitals
from chassis.process.logs import Complaint, Output
from chassis.process.vitals import Pulse

try:
    from celery import Task, bootsteps  # type: ignore[import-untyped]
    from celery.apps import worker as celery_worker  # type: ignore[import-untyped]
    from celery.exceptions import Ignore, ImproperlyConfigured, Reject, Retry, TaskPredicate  # type: ignore[import-untyped]
    from celery.worker import state  # type: ignore[import-untyped]
    from celery.worker.consumer.tasks import Tasks  # type: ignore[import-untyped]
except ImportError as error:
    raise missing("messages", error) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.messages.consumer import Consumer
    from chassis.servers.timers import Timers

logger = logging.getLogger("chassis.servers.worker")

SUFFIX = ".tasks"
POOLS = ("celery.concurrency.thread", "celery.concurrency.solo")
# A task that was sent back comes to the next consumer; while a pause lasts, that may still be this process.
BREATH_SECONDS = 0.2
PULSE_SECONDS = 5.0  # between two signs of life of the loop that reads tasks
STOP_SECONDS = 10.0  # for messages that are under way when the worker ends

TASKS = Counter("chassis_tasks_total", "Tasks that were run.", ["task", "outcome"])
SENT_BACK = Counter("chassis_tasks_sent_back_total", "Tasks that met a fence and were published again.", ["queue"])


class MessageStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs a consumer for each capability of ``CHASSIS_CONSUMES`` as long as the worker runs."""

    def __init__(self, worker: Any, **settings: Any) -> None:
        super().__init__(worker, **settings)
        worker.chassis_watch = Watch()
        self._consumers: list[Consumer] = []
        self._timers: list[Timers] = []
        self._clock: Clock | None = None

    def create(self, worker: Any) -> None:
        """Refuses a pool that forks, because threads do not survive a fork, and settings that lose messages.

        Returns when the database answers and has all migrations: no delivery could be handled before.

        Raises:
            ImproperlyConfigured: its text says what to do.
        """
        fence_tasks(worker.app)
        if worker.pool_cls.__module__ not in POOLS:
            raise ImproperlyConfigured("messages are consumed in threads: run the worker with --pool threads")
        # Celery runs Django's checks, but starts whatever they find.
        wrong = [str(found) for found in run_checks(tags=["chassis"]) if found.level >= ERROR]
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))
        if logs.is_configured():
            # Neither a banner nor what is said when the worker ends is a line of JSON.
            worker.quiet = True
            celery_worker.safe_say = say
        # Remote control is off, so there is no worker to greet, and a service's broker user has no right to.
        worker.options |= {"without_gossip": True, "without_mingle": True}
        _await_database()

    def start(self, worker: Any) -> None:
        # The app is made before Django's models can be loaded.
        from chassis.messages import depths
        from chassis.messages.consumer import Consumer
        from chassis.servers.timers import MEASURE_SECONDS, Timers

        telemetry.start("worker")
        # Deadlines must not wait for a broker that does not answer, so what asks it has a thread of its own.
        self._timers = [Timers(), Timers([(MEASURE_SECONDS, depths.measure)])]
        for timers in self._timers:
            timers.start()
        worker.chassis_watch.start()
        self._consumers = [Consumer(capability, worker.chassis_watch) for capability in settings.consumes()]
        for consumer in self._consumers:
            consumer.start()
        if worker.beat:
            self._clock = Clock(worker.beat)
            vitals.follow(self._clock)
            # It must run before the handler that waits for this process without a limit: handlers that were registered
            # last run first.
            atexit.register(self._clock.end)

    def stop(self, worker: Any) -> None:
        """What is under way is finished and acknowledged; the rest goes back to its queue."""
        if self._clock is not None:
            vitals.forget(self._clock)
        # All at once, so that the end of the worker takes as long as the slowest of them, not as long as all together.
        stops: list[Callable[[float], None]] = [consumer.stop for consumer in self._consumers]
        stops += [timers.stop for timers in self._timers]
        ending = [threading.Thread(target=stop, args=(STOP_SECONDS,), daemon=True) for stop in stops]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()
        self._consumers = []
        worker.chassis_watch.stop()

    terminate = stop


class Clock:
    """The process in which Celery's beat runs, in a form that `chassis.process.vitals` can follow."""

    name = "beat"

    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def stuck(self) -> bool:
        """Whether it has ended by itself. Nothing is scheduled any more then."""
        return self._process.pid is not None and not self._process.is_alive()

    def end(self) -> None:
        """Returns when it has ended. Asks more than once, because right after its fork it ignores signals."""
        tries = 0
        while self._process.pid is not None and self._process.is_alive():
            if tries < STOP_SECONDS:
                self._process.terminate()
            else:
                os.kill(self._process.pid, signal.SIGKILL)
            tries += 1
            self._process.join(1.0)


class TaskGate(bootsteps.StartStopStep):  # type: ignore[misc]
    """Consumes ``<capability>.tasks`` only while the capability is open here."""

    requires: ClassVar[tuple[Any, ...]] = (Tasks,)

    def __init__(self, parent: Any, **settings: Any) -> None:
        super().__init__(parent, **settings)
        self._watch: Watch = parent.controller.chassis_watch
        queues = parent.app.amqp.queues
        self._queues = {name: name.removesuffix(SUFFIX) for name in queues.consume_from if name.endswith(SUFFIX)}
        # Nothing is known yet; the first look selects the queues whose capability is open.
        queues.deselect(list(self._queues))
        self._consumer = parent
        self._watch.on_look(self._look)
        self._pulse: Pulse | None = None
        self._refused_until: dict[str, float] = {}
        self._beating: Any = None

    def start(self, parent: Any) -> None:
        """Called after each connection to the broker. It does not act at once: a delivery before Celery's loop runs
        ends the loop."""
        parent.call_soon(self._turn)
        pulse = self._pulse = Pulse("tasks")
        vitals.follow(pulse)
        self._beating = parent.timer.call_repeatedly(PULSE_SECONDS, lambda: parent.call_soon(pulse.beat))

    def stop(self, parent: Any) -> None:
        """Called when the connection is lost, and Celery tries for another without end; or when the worker ends."""
        if self._pulse is not None:
            vitals.forget(self._pulse)
            self._beating.cancel()

    terminate = stop

    def _look(self) -> None:
        """Runs in the watching thread, so it only asks the consuming one to act."""
        if self._wrong():
            self._consumer.call_soon(self._turn)

    def _turn(self) -> None:
        # A call that was asked for before the worker's end may run after it. A delivery would then meet a closed pool.
        if self._consumer.task_consumer is None or self._consumer.blueprint.state != bootsteps.RUN:
            return
        for name in self._wrong():
            if self._watch.is_open(self._queues[name]):
                self._add(name)
            else:
                self._consumer.cancel_task_queue(name)

    def _add(self, name: str) -> None:
        """Tries the queue first: a queue that exists with another type would end the worker, and with it all that it
        consumes."""
        from chassis.messages import declarations

        if time.monotonic() < self._refused_until.get(name, 0.0):
            return
        if declarations.attempt(self._consumer.connection, self._consumer.app.amqp.queues[name]):
            self._consumer.add_task_queue(name)
        else:
            self._refused_until[name] = time.monotonic() + declarations.AGAIN_SECONDS

    def _wrong(self) -> list[str]:
        consumed = self._consumer.app.amqp.queues.consume_from
        return [name for name, owner in self._queues.items() if (name in consumed) != self._watch.is_open(owner)]


class FencedTask(Task):  # type: ignore[misc]
    """A task that meets a fence has not failed: it is published again, under its id, for the side that is then the
    owner.

    That holds also where the task's own code swallowed the error: what it could not write must not be lost.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not tracing.is_on() or self.request.called_directly or self.request.is_eager:
            return self._run_fenced(args, kwargs)
        received = str(getattr(self.request, tracing.HEADER, "") or "")
        with tracing.entered(f"run {self.name}", received, kind="consumer", attributes=_told(self)) as span:
            try:
                return self._run_fenced(args, kwargs)
            except TaskPredicate as raised:
                # It has not failed: it is run again, or elsewhere.
                predicate = raised
                span.note({"strangler.outcome": type(raised).__name__.lower()})
        raise predicate

    def _run_fenced(self, args: Any, kwargs: Any) -> Any:
        # The app is made before Django's models can be loaded.
        from chassis.ownership import refusals

        error: BaseException | None = None
        began, fields = time.monotonic(), _logged(self)
        with refusals.watching() as seen, about.about(**fields):
            try:
                result = super().__call__(*args, **kwargs)
            except Retry:
                raise  # the task comes again
            except Exception as raised:  # noqa: BLE001  raised again below, unless it was a fence
                error = raised
        # What was put off has not been done, whatever the task made of the error.
        error = error or seen.put_off
        refused = seen.refused or owners.refused_capability(error)
        if refused is not None and not (self.request.called_directly or self.request.is_eager):
            self._send_back(refused)
            raise Ignore from error
        if isinstance(error, TaskPredicate):
            raise error
        outcome = "done" if error is None else "failed"
        TASKS.labels(self.name, outcome).inc()
        with about.about(**fields):
            logger.info(
                "task_run", extra={"outcome": outcome, "milliseconds": round((time.monotonic() - began) * 1000)}
            )
        if error is not None:
            raise error
        return result

    def _send_back(self, refused: str) -> None:
        request = self.request
        queue = (request.delivery_info or {}).get("routing_key", "")
        tracing.event("strangler.sent_back", traces.seen(refused))
        logger.info("task_sent_back", extra={"task": self.name, "task_id": request.id, "capability": refused})
        time.sleep(BREATH_SECONDS)
        again = self.signature_from_request(request, request.args, request.kwargs, retries=request.retries)
        tries, complaint = 0, Complaint(logger, "task_not_sent_back")
        while True:
            try:
                again.apply_async()
            except Exception as error:
                # The task was not published again, so it must not be acknowledged.
                if self.acks_late:
                    raise Reject(error, requeue=True) from error
                # The task was acknowledged already, so it exists only here.
                complaint.make(str(error), exc_info=False, task=self.name, task_id=request.id)
                if state.should_stop is not None or state.should_terminate is not None:
                    logger.critical(
                        "task_lost",
                        extra={
                            "task": self.name,
                            "task_id": request.id,
                            "queue": queue,
                            "arguments": repr((request.args, request.kwargs)),
                        },
                    )
                    raise
                tries += 1
                time.sleep(backoff(tries))
            else:
                break
        complaint.over()
        SENT_BACK.labels(queue).inc()


def say(what: str, _: object = None) -> None:
    """Writes what Celery's signal handlers say as a line of the log. They may interrupt a line that is being written,
    so this waits for no lock."""
    record = logger.makeRecord("celery.worker", logging.WARNING, "", 0, what, (), None)
    formatters = (handler.formatter for handler in logging.getLogger().handlers if isinstance(handler, Output))
    line = next((formatter.format(record) for formatter in formatters if formatter is not None), what)
    os.write(1, f"{line}\n".encode())


def _logged(task: Any) -> dict[str, Any]:
    """What the task's log lines have."""
    fields: dict[str, Any] = {"task": task.name, "task_id": task.request.id}
    queue = str((task.request.delivery_info or {}).get("routing_key") or "")
    if queue.endswith(SUFFIX):
        capability = queue.removesuffix(SUFFIX)
        fields |= {"capability": capability, **owners.place(capability)}
    return fields


def _told(task: Any) -> dict[str, Any]:
    queue = str((task.request.delivery_info or {}).get("routing_key") or "")
    attributes = {
        "celery.task_name": task.name,
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.message.id": task.request.id or "",
    }
    if queue.endswith(SUFFIX):
        attributes["strangler.capability"] = queue.removesuffix(SUFFIX)
    return attributes


def fence_tasks(app: Any) -> None:
    """Makes a `FencedTask` of each task of the project that has a base of its own. Call it before the first one
    runs."""
    for task in app.tasks.values():
        kind = type(task)
        if not task.name.startswith("celery.") and not issubclass(kind, FencedTask):
            task.__class__ = type(kind.__name__, (FencedTask, kind), {"__module__": kind.__module__, "abstract": True})


def _await_database() -> None:
    """Nothing has begun yet, so SIGTERM ends the process at once; Celery takes the signal over when it starts."""
    from django.db import connections

    from chassis.servers import health, probes

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    probes.serve_if_asked()
    health.await_database(threading.Event())
    # The embedded beat is forked, and must not inherit a session.
    connections.close_all()
