"""What makes a Celery worker a service's worker: it consumes messages too, and both only for what is open here."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from celery import Task, bootsteps  # type: ignore[import-untyped]
from celery.exceptions import Ignore, ImproperlyConfigured, Reject, Retry, TaskPredicate  # type: ignore[import-untyped]
from celery.worker import state  # type: ignore[import-untyped]
from celery.worker.consumer.tasks import Tasks  # type: ignore[import-untyped]
from django.core.checks import ERROR, run_checks
from prometheus_client import Counter

from chassis import settings
from chassis.ownership import owners
from chassis.ownership.watch import Watch, backoff
from chassis.process import vitals
from chassis.process.logs import Complaint
from chassis.process.vitals import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from chassis.messages.consumer import Consumer
    from chassis.servers.timers import Timers

logger = logging.getLogger("chassis.servers.worker")

SUFFIX = ".tasks"
POOLS = ("celery.concurrency.thread", "celery.concurrency.solo")
# A task that was sent back comes to whoever consumes next; while a pause lasts that may still be this process.
BREATH_SECONDS = 0.2
PULSE_SECONDS = 5.0  # between two signs of life of the loop that reads tasks
STOP_SECONDS = 10.0  # that messages have which are under way when the worker ends

TASKS = Counter("chassis_tasks_total", "Tasks that were run.", ["task", "outcome"])
SENT_BACK = Counter("chassis_tasks_sent_back_total", "Tasks that met a fence and were published again.", ["queue"])


class MessageStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs a consumer for each capability of ``CHASSIS_CONSUMES`` as long as the worker runs."""

    def __init__(self, worker: Any, **settings: Any) -> None:
        super().__init__(worker, **settings)
        worker.chassis_watch = Watch()
        self._consumers: list[Consumer] = []
        self._timers: Timers | None = None
        self._clock: Clock | None = None

    def create(self, worker: Any) -> None:
        """Refuses a pool that forks, for threads do not survive that, and settings that lose messages.

        Returns when the database answers and has all migrations: nothing that is delivered could be handled before.

        Raises:
            ImproperlyConfigured: naming what to do.
        """
        fence_tasks(worker.app)
        if worker.pool_cls.__module__ not in POOLS:
            raise ImproperlyConfigured("messages are consumed in threads: run the worker with --pool threads")
        # Celery runs Django's checks, but starts whatever they say.
        wrong = [str(found) for found in run_checks(tags=["chassis"]) if found.level >= ERROR]
        if wrong:
            raise ImproperlyConfigured("\n".join(wrong))
        # Remote control is off, so there is nobody to greet; and a service's broker user may not.
        worker.options |= {"without_gossip": True, "without_mingle": True}
        _await_database()

    def start(self, worker: Any) -> None:
        # An app is made before Django's models can be.
        from chassis.messages.consumer import Consumer
        from chassis.servers.timers import Timers

        self._timers = Timers()
        self._timers.start()
        worker.chassis_watch.start()
        self._consumers = [Consumer(capability, worker.chassis_watch) for capability in settings.consumes()]
        for consumer in self._consumers:
            consumer.start()
        if worker.beat:
            self._clock = Clock(worker.beat)
            vitals.follow(self._clock)
            # Before what waits for it without a limit: the handlers that are called first were registered last.
            atexit.register(self._clock.end)

    def stop(self, worker: Any) -> None:
        """What is under way is finished and acknowledged; the rest goes back to its queue."""
        if self._clock is not None:
            vitals.forget(self._clock)
        # All at once: whoever has asked the worker to end waits for the slowest, not for the sum of them.
        stops: list[Callable[[float], None]] = [consumer.stop for consumer in self._consumers]
        if self._timers is not None:
            stops.append(self._timers.stop)
        ending = [threading.Thread(target=stop, args=(STOP_SECONDS,), daemon=True) for stop in stops]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()
        self._consumers = []
        worker.chassis_watch.stop()

    terminate = stop


class Clock:
    """The process in which Celery's beat runs, as something to be followed."""

    name = "beat"

    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def stuck(self) -> bool:
        """Whether it has ended by itself, after which nothing is scheduled any more."""
        return self._process.pid is not None and not self._process.is_alive()

    def end(self) -> None:
        """Returns when it has ended. Asks more than once: right after its fork it takes no notice of signals."""
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
        # Nothing is known yet; the first look opens what is open.
        queues.deselect(list(self._queues))
        self._consumer = parent
        self._watch.on_look(self._look)
        self._pulse: Pulse | None = None
        self._refused_until: dict[str, float] = {}
        self._beating: Any = None

    def start(self, parent: Any) -> None:
        """After each connection to the broker; not at once, for what is delivered before Celery's loop runs ends it."""
        parent.call_soon(self._turn)
        pulse = self._pulse = Pulse("tasks")
        vitals.follow(pulse)
        self._beating = parent.timer.call_repeatedly(PULSE_SECONDS, lambda: parent.call_soon(pulse.beat))

    def stop(self, parent: Any) -> None:
        """The connection is lost, and Celery tries for another without end; or the worker ends."""
        if self._pulse is not None:
            vitals.forget(self._pulse)
            self._beating.cancel()

    terminate = stop

    def _look(self) -> None:
        """In the watching thread, so it only asks the consuming one."""
        if self._wrong():
            self._consumer.call_soon(self._turn)

    def _turn(self) -> None:
        # What was asked for before the worker's end is run behind it, where what is delivered would meet a closed pool.
        if self._consumer.task_consumer is None or self._consumer.blueprint.state != bootsteps.RUN:
            return
        for name in self._wrong():
            if self._watch.is_open(self._queues[name]):
                self._add(name)
            else:
                self._consumer.cancel_task_queue(name)

    def _add(self, name: str) -> None:
        """A queue that is there as another kind of queue would end the worker, and with it all that it consumes."""
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
    """A task that meets a fence has not failed: it is published again, under its id, for whoever is the owner then.

    Also where its own code swallowed the error: what it could not write must not be lost with it.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # An app is made before Django's models can be.
        from chassis.ownership import refusals

        error: BaseException | None = None
        with refusals.watching() as seen:
            try:
                result = super().__call__(*args, **kwargs)
            except Retry:
                raise  # it comes again
            except Exception as raised:  # noqa: BLE001  raised again below, unless it was a fence
                error = raised
        refused = seen.refused or owners.refused_capability(error)
        if refused is not None and not (self.request.called_directly or self.request.is_eager):
            self._send_back(refused)
            raise Ignore from error
        if isinstance(error, TaskPredicate):
            raise error
        TASKS.labels(self.name, "done" if error is None else "failed").inc()
        if error is not None:
            raise error
        return result

    def _send_back(self, refused: str) -> None:
        request = self.request
        queue = (request.delivery_info or {}).get("routing_key", "")
        logger.info("task_sent_back", extra={"task": self.name, "task_id": request.id, "capability": refused})
        time.sleep(BREATH_SECONDS)
        again = self.signature_from_request(request, request.args, request.kwargs, retries=request.retries)
        tries, complaint = 0, Complaint(logger, "task_not_sent_back")
        while True:
            try:
                again.apply_async()
            except Exception as error:
                # Not published again, so it must not be acknowledged.
                if self.acks_late:
                    raise Reject(error, requeue=True) from error
                # It has been, and is nowhere but here.
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


def fence_tasks(app: Any) -> None:
    """Makes a `FencedTask` of each task of the project that has a base of its own; before the first is run."""
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
