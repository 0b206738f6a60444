"""What a client is told when a request is neither answered nor led on."""

from __future__ import annotations

import logging

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from chassis.ownership import passages

logger = logging.getLogger("chassis.ownership.fence")


def later() -> HttpResponseBase:
    """Nothing was done, and the next try may succeed."""
    return passages.marked("turned_away", _try_again("This part of the service is changing hands; try again."))


def put_off() -> HttpResponseBase:
    """Nothing was done, for another side has not done its part in time."""
    detail = "Another part of the service has to do its part first, and has not done it in time; try again."
    return passages.marked("put_off", _try_again(detail))


def half_done() -> HttpResponseBase:
    """Something was committed before the fence was met."""
    # Without Retry-After: a client that simply asks again would repeat what has been done.
    detail = (
        "This part of the service is changing hands, and only a part of the request was done: look before you try "
        "again, or send the same Idempotency-Key."
    )
    return passages.marked("half_done", JsonResponse({"detail": detail}, status=503))


def never(*, in_part: bool) -> HttpResponseBase:
    """No try will succeed: another side owns what the request writes, and has no such route.

    501, "not implemented", is the only status that says of a well-formed request that this server cannot do it at all,
    now or later. A cache may keep that status unless it is told not to.
    """
    done = "Only a part of this request was done: the rest" if in_part else "This request cannot be done: it"
    detail = f"{done} changes what another service owns now. To send it again will not help."
    response = JsonResponse({"detail": detail}, status=501)
    response["Cache-Control"] = "no-store"
    return passages.marked("never", response)


def unmoved() -> HttpResponseBase:
    """Refuses the write: a row that is written before a capability has moved here is one that no move will find."""
    return _try_again(
        "This has not been moved to this service yet: it takes no writes. The monolith has what you ask for."
    )


def crossed(request: HttpRequest) -> HttpResponseBase:
    """The database has ended the transaction because of other transactions."""
    logger.warning("transactions_crossed", extra={"path": request.path})
    return _try_again("Others were changing the same at the same time; try again.")


def _try_again(detail: str) -> HttpResponseBase:
    response = JsonResponse({"detail": detail}, status=503)
    response["Retry-After"] = "1"
    return response
