"""A project's Celery app, as its workers and its beat need it."""

from __future__ import annotations

import logging
import threading
from typing import Any

from chassis.process import logs, tracing


def consuming(app: Any) -> Any:
    """The same Celery app. Its workers now consume messages, and consume tasks only while their capability is open. Its
    beat, with any scheduler, publishes only tasks of capabilities that are owned here.

    Call it before the first task is defined. Everything is named and not imported: web processes read the app, too,
    before Django's models can be loaded, and they need none of it.
    """
    app.task_cls = "chassis.servers.worker:FencedTask"
    app.steps["worker"].add("chassis.servers.worker:MessageStep")
    app.steps["consumer"].add("chassis.servers.worker:TaskGate")
    from celery.signals import beat_init, before_task_publish, celeryd_init  # type: ignore[import-untyped]

    celeryd_init.connect(_keep_logging)
    beat_init.connect(_guard_schedule)
    before_task_publish.connect(_send_trace)
    return app


def _keep_logging(instance: Any, **_: Any) -> None:
    """Leaves logging as Django's settings have it, where it is the chassis'. ``--loglevel`` is for what Celery itself
    says, and what is printed becomes lines of its logger.

    It comes before Celery's first warnings.
    """
    if not logs.is_configured():
        return
    from celery.signals import setup_logging

    logs.serve()

    def configure(loglevel: int | None = None, **_: Any) -> None:
        if loglevel is not None:
            logging.getLogger("celery").setLevel(loglevel)
        instance.app.log.redirect_stdouts(logging.WARNING)

    # Who connects here keeps Celery from setting the level of all loggers to that of its own.
    setup_logging.connect(configure, weak=False)


def _send_trace(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """A task belongs to the trace of who has sent it. Without OpenTelemetry a task is sent as it always was."""
    if headers is not None and tracing.is_on() and (known := tracing.known_traceparent()):
        headers[tracing.HEADER] = known


def _guard_schedule(sender: Any, **_: Any) -> None:
    from chassis.servers import schedule

    if logs.is_configured():
        logs.serve()
    schedule.guard(sender.scheduler)
    if threading.current_thread() is threading.main_thread():
        sender.scheduler._ending.heed_signals()
