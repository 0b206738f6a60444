"""Three addresses of every process: ``/healthz`` (alive), ``/readyz`` (ready), ``/metrics``.

In a web process a middleware answers them, and not the project's urls. It stands before anything that touches the
database, because the database may be what is wrong. It ignores the Host header, because probes and scrapers come by the
address of a pod. Every other process answers them at a port of its own (`chassis.servers.probes`).

A request that comes by a gateway is told the status alone: what is wrong, and which queues there are, is for requests
from inside.

Ready means that the process's own database answers and has all migrations; a process without a database is ready as
soon as it answers. It says nothing of the broker: the database keeps the work for the broker while it is away.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from chassis import agreement, extras
from chassis.database import absence
from chassis.process import details, measuring, vitals
from chassis.process.logs import Complaint

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks, while a database is waited for

# Headers that each gateway writes, and neither the kubelet nor Prometheus.
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

    Logs once what it waits for.
    """
    waiting = Complaint(logger, "waiting")
    with vitals.loop("start"):
        while not stopping.is_set() and any(problem := _look(DEFAULT_DB_ALIAS)):
            waiting.make(": ".join(filter(None, problem)))
            # The next look gets another session, whatever is wrong with this one.
            connections.close_all()
            stopping.wait(LOOK_SECONDS)
            vitals.beat()
    waiting.over()


def liveness() -> tuple[int, dict[str, Any]]:
    """Status and body of ``/healthz``: 200 as long as the process answers and its loops go round."""
    if still := vitals.stuck():
        return 503, {"status": "stuck", "loops": still}
    return 200, {"status": "alive"}


def readiness() -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``: 200 when work can be done, 503 with the reason otherwise."""
    if problem := database_problem():
        return 503, {"status": "unready", "reason": problem}
    # A queue that cannot be declared is no reason to stop the others.
    if refused := _refused():
        return 200, {"status": "ready", "refused": refused}
    return 200, {"status": "ready"}


def _refused() -> Mapping[str, str]:
    if not extras.has("kombu"):
        return {}
    from chassis.messages import declarations

    return declarations.refused()


def _look(using: str) -> tuple[str, str]:
    """What keeps the database from serving, and why, in its own words; both are empty where it can serve.

    Reading the migrations' graph is slow, and nobody takes migrations back under a running process. So "all applied" is
    checked only until it was true once.
    """
    if not absence.has_database(using):
        return "", ""
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
    # `database_problem` logs it once; Django would log every probe.
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
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


VIEWS = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}


class HealthMiddleware:
    """Answers the three addresses, and measures all other requests; belongs first in ``MIDDLEWARE``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info)
        if view is not None:
            return details.filled(request, view(request))
        return measuring.measured(request, self.get_response)
