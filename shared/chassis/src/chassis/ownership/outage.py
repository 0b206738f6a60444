"""What a request is answered while the process's own database is away.

Note "nothing is promised": a connection that breaks at COMMIT leaves it open whether the transaction was committed. So
the answer says that nothing was done only where the view had not been reached; and nothing here runs a request again.
Whoever asks again needs an Idempotency-Key, or a request that does no harm twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from django.db import Error
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from prometheus_client import Counter

if TYPE_CHECKING:
    from chassis.ownership.refusals import Seen

RETRY_AFTER = 2  # seconds
# Besides class 08, connection exceptions: the server is stopped, crashes, starts, or has no room for a session.
AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})

UNTOUCHED = "The database does not answer. Nothing was done; try again."
UNKNOWN = (
    "The database does not answer. Whether something was done is not known: look before you try again, "
    "or send the same Idempotency-Key."
)

REQUESTS = Counter("chassis_outage_requests_total", "Requests that were answered with 503: the database was away.")


class Outage:
    """What one request has seen of it: ``met`` once a statement has lost its database, whatever the view makes of that.

    For a transaction that has lost its session is rolled back, and Django does not tell a view that swallows errors.
    ``reached`` where the view may have done something.
    """

    def __init__(self) -> None:
        self.reached = False
        self._seen: Seen | None = None
        self._raised = False

    @property
    def met(self) -> bool:
        return self._raised or (self._seen is not None and self._seen.lost is not None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around all that is to count."""
        from chassis.ownership import refusals

        self._raised, self.reached = False, True
        with refusals.watching() as self._seen:
            yield

    def note(self, error: BaseException) -> None:
        """An error that has come as far as the middleware."""
        self._raised = self._raised or is_outage(error)

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        """503, for a client that may try again."""
        REQUESTS.inc()
        response = JsonResponse({"detail": UNKNOWN if self.reached else UNTOUCHED}, status=503)
        response["Retry-After"] = str(RETRY_AFTER)
        return response


def is_outage(error: BaseException | None) -> bool:
    """Whether the error says that the database cannot be reached, and not that it refuses a statement."""
    cause = error.__cause__ if isinstance(error, Error) else error
    if isinstance(cause, psycopg.InterfaceError):
        return "connection" in str(cause)  # else it is of a cursor, and the program's fault
    if not isinstance(cause, psycopg.OperationalError) or isinstance(cause, psycopg.errors.PipelineAborted):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith("08") or cause.sqlstate in AWAY
