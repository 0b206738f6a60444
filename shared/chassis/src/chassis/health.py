"""Three addresses of every process: ``/healthz`` (alive), ``/readyz`` (ready), ``/metrics``.

They are answered by a middleware and not by the project's urls: before anything that touches the
database, which may be what is wrong, and whatever the Host header says, since probes and scrapers
come by the address of a pod.

Ready means that the process's own database answers and has all migrations. Never the broker: work for it is kept in
the database while it is away.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView  # type: ignore[import-untyped]

logger = logging.getLogger(__name__)

_migrated: set[str] = set()


def database_problem(using: str = DEFAULT_DB_ALIAS) -> str | None:
    """Why the database cannot serve now, or None.

    Reading the migrations' graph is slow, and migrations do not come undone under a running process:
    "all applied" is asked only until it has been true once.
    """
    try:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT 1")
        if using not in _migrated and _pending(using):
            return "migrations are not applied"
    except DatabaseError as error:
        logger.warning("database_unreachable", extra={"using": using, "reason": str(error)})
        return "the database does not answer"
    _migrated.add(using)
    return None


def _pending(using: str) -> bool:
    executor = MigrationExecutor(connections[using])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@require_safe
@never_cache
@transaction.non_atomic_requests
def alive(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": "alive"})


@require_safe
@never_cache
@transaction.non_atomic_requests
def ready(request: HttpRequest) -> HttpResponse:
    """200 when requests can be served, 503 with the reason otherwise."""
    problem = database_problem()
    if problem:
        return JsonResponse({"status": "unready", "reason": problem}, status=503)
    return JsonResponse({"status": "ready"})


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
        view = VIEWS.get(request.path_info, self.get_response)
        return view(request)


urlpatterns = [path(address[1:], view) for address, view in VIEWS.items()]
