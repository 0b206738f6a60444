"""Three addresses of every process: ``/healthz`` (alive), ``/readyz`` (ready), ``/metrics``.

In a web process they are answered by a middleware and not by the project's urls: before anything that touches the
database, which may be what is wrong, and whatever the Host header says, since probes and scrapers
come by the address of a pod. Every other process answers them at a port of its own (`chassis.servers.probes`).

Who comes by a gateway is told the status alone: what is wrong, and which queues there are, is for those inside.

Ready means that the process's own database answers and has all migrations. Never the broker: work for it is kept in
the database while it is away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView  # type: ignore[import-untyped]

from chassis import agreement
from chassis.messages import declarations
from chassis.process import vitals
from chassis.process.logs import Complaint
from chassis.rest import answers

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks for a database that is waited for

# What each gateway writes, and neither kubelet nor Prometheus.
FROM_OUTSIDE = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_FORWARDED",
    agreement.environ_key(agreement.TO),
    agreement.environ_key(agreement.MAX_BODY),
)

_migrated: set[str] = set()
_unreachable = Complaint(logger, "database_unreachable")


def database_problem(using: str = DEFAULT_DB_ALIAS) -> str | None:
    """Why the database cannot serve now, or None."""
    problem, detail = _look(using)
    if detail:
        _unreachable.make(detail, using=using)
    else:
        _unreachable.over()
    return problem or None


def await_database(stopping: threading.Event) -> None:
    """Returns when the database answers and has all migrations, or as soon as ``stopping`` is set.

    Says once what it waits for.
    """
    waiting = Complaint(logger, "waiting")
    with vitals.loop("start"):
        while not stopping.is_set() and any(problem := _look(DEFAULT_DB_ALIAS)):
            waiting.make(": ".join(filter(None, problem)))
            # Whatever is wrong with a session, the next look has another.
            connections.close_all()
            stopping.wait(LOOK_SECONDS)
            vitals.beat()
    waiting.over()


def liveness() -> tuple[int, dict[str, Any]]:
    """Status and body of ``/healthz``: 200 as long as the process answers at all and its loops go round."""
    if still := vitals.stuck():
        return 503, {"status": "stuck", "loops": still}
    return 200, {"status": "alive"}


def readiness() -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``: 200 when work can be done, 503 with the reason otherwise."""
    if problem := database_problem():
        return 503, {"status": "unready", "reason": problem}
    # A queue that cannot be had is no reason to stop the others.
    if refused := declarations.refused():
        return 200, {"status": "ready", "refused": refused}
    return 200, {"status": "ready"}


def _look(using: str) -> tuple[str, str]:
    """What keeps the database from serving, and in its own words why; both empty where it can.

    Reading the migrations' graph is slow, and migrations do not come undone under a running process:
    "all applied" is asked only until it has been true once.
    """
    try:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT 1")
        if using not in _migrated and _pending(using):
            return "migrations are not applied", ""
    except Error as error:
        return "the database does not answer", str(error).strip()
    _migrated.add(using)
    return "", ""


def _pending(using: str) -> bool:
    executor = MigrationExecutor(connections[using])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@require_safe
@never_cache
@transaction.non_atomic_requests
def alive(request: HttpRequest) -> HttpResponse:
    """See `liveness`."""
    return _told(request, *liveness())


@require_safe
@never_cache
@transaction.non_atomic_requests
def ready(request: HttpRequest) -> HttpResponse:
    """See `readiness`."""
    response = _told(request, *readiness())
    # Told once by `database_problem`; Django would tell of every probe.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _told(request: HttpRequest, status: int, content: dict[str, Any]) -> HttpResponse:
    if any(name in request.META for name in FROM_OUTSIDE):
        content = {"status": content["status"]}
    return JsonResponse(content, status=status)


@require_safe
@never_cache
@transaction.non_atomic_requests
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus's text format; the sum of all workers where they share ``PROMETHEUS_MULTIPROC_DIR``."""
    answer: HttpResponse = ExportToDjangoView(request)
    return answer


VIEWS = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}


class HealthMiddleware:
    """Answers the three addresses; belongs first in ``MIDDLEWARE``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info)
        return answers.filled(request, view(request)) if view else self.get_response(request)
