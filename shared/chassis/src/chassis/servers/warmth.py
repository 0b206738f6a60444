"""Warms a worker before its first request: a service that takes over at once must not begin with imports."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Executor, wait

logger = logging.getLogger("chassis.servers.warmth")

TOGETHER_SECONDS = 10.0


def warm(threads: Executor, *, connections: int) -> None:
    """Imports the urls with everything behind them, and opens ``connections`` database connections in the pool's
    threads.

    A server that is away does not keep the worker from starting: the first request then does what was not done here.
    """
    # Each runs in a thread of its own only if all are busy at once.
    together = threading.Barrier(max(connections, 1))

    def one() -> None:
        _read_sides()
        together.wait(TOGETHER_SECONDS)

    try:
        _import_urls()
        _fetch_keys()
        done, _ = wait([threads.submit(one) for _ in range(connections)], timeout=TOGETHER_SECONDS)
        for future in done:
            future.result()
    except Exception:
        logger.exception("not_warm")


# The functions below import late: gunicorn reads its configuration, and so this module, before Django is set up.


def _import_urls() -> None:
    from django.urls import get_resolver

    # To fill this, Django goes through every included module.
    _ = get_resolver().reverse_dict


def _fetch_keys() -> None:
    from chassis import settings

    if not settings.jwks_url():
        return  # and perhaps nothing is installed that reads tokens
    from chassis.identity import tokens

    if remote := tokens.remote_keys():
        remote.warm()


def _read_sides() -> None:
    from chassis.database import absence
    from chassis.ownership import owners

    if not absence.has_database():
        return  # nothing is owned here
    owners.sides()
