"""The answer to a request while the process's own database is away.

Note "nothing is promised": a connection that breaks at COMMIT leaves it open whether the transaction was committed. So
the answer says that nothing was done only where the view was not reached, and nothing here runs a request again. A
client that asks again needs an Idempotency-Key, or a request that does no harm twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from prometheus_client import Counter

from chassis.database.absence import is_outage
from chassis.ownership import refusals
from chassis.ownership.refusals import Seen

RETRY_AFTER_SECONDS = 2

UNTOUCHED = "The database does not answer. Nothing was done; try again."
UNKNOWN = (
    "The database does not answer. Whether something was done is not known: look before you try again, "
    "or send the same Idempotency-Key."
)

REQUESTS = Counter("chassis_outage_requests_total", "Requests that were answered with 503: the database was away.")


class Outage:
    """What one request has seen of the outage.

    ``met`` is true once a statement has lost its database, whatever the view does about that: a transaction that has
    lost its session is rolled back, and Django does not say so to a view that swallows errors. ``reached`` says that
    the view may have done something.
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
        """Belongs around everything whose statements count."""
        self._raised, self.reached = False, True
        with refusals.watching() as self._seen:
            yield

    def note(self, error: BaseException) -> None:
        """Notes an error that has come as far as the middleware."""
        self._raised = self._raised or is_outage(error)

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        """503, for a client that may try again."""
        REQUESTS.inc()
        response = JsonResponse({"detail": UNKNOWN if self.reached else UNTOUCHED}, status=503)
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
