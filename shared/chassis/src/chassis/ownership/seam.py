"""Reads across a seam: a row that another side owns may be on its way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import urllib3
from django.db.models import Model
from django.http import HttpRequest

from chassis import extras, settings
from chassis.ownership import owners, traces
from chassis.ownership.owners import SideState
from chassis.process import admission, tracing

if TYPE_CHECKING or extras.has("rest_framework"):
    from rest_framework.exceptions import APIException
else:
    APIException = Exception  # the middleware answers for it in any case

M = TypeVar("M", bound=Model)

_pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(connect=1.0, read=3.0))


class RowOnItsWay(APIException):
    """The owner has the row and this side does not have it yet. The fence middleware waits for it and runs the request
    again."""

    status_code = 503
    default_detail = "The data of this request have not arrived here yet; try again."
    default_code = "on_its_way"

    def __init__(self, awaited: AwaitedRow) -> None:
        super().__init__(self.default_detail)
        self.awaited = awaited


class AwaitedRow:
    """A row of a model that another side owns, asked for by a request."""

    def __init__(self, model: type[Model], pk: object, state: SideState, headers: Mapping[str, str]) -> None:
        self.model = model
        self.pk = pk
        self.state = state
        self.headers = headers

    def arrive(self) -> bool:
        """Asks the owner whether there is such a row, and waits for it here; False when there is none.

        Runs outside any transaction. Also returns True when the wait ended without the row: the request is then run
        again and says so itself.
        """
        with admission.aside():
            return not self._owner_denies() and self._has_arrived()

    def _has_arrived(self) -> bool:
        deadline = time.monotonic() + settings.seam_wait()
        pause = 0.002
        while time.monotonic() < deadline:
            if self.model._default_manager.filter(pk=self.pk).exists():
                return True
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return True

    def _owner_denies(self) -> bool:
        path = settings.owner_paths().get(self.model._meta.label)
        if path is None or not self.state.peer_url:
            return False
        try:
            url = self.state.peer_url + path.format(pk=quote(str(self.pk), safe=""))
            with traces.asked(self.state):
                headers = {**self.headers, tracing.HEADER: tracing.current_traceparent()}
                answer = _pool.request("GET", url, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError:
            return False  # an owner that does not answer has not denied it
        return answer.status in {401, 403, 404, 410}


def await_row(model: type[M], pk: Any, *, request: HttpRequest | None = None) -> M | None:
    """The row, or None where there is none.

    If a row is missing here while another side owns its table, it is waited for before the answer is None.

    Raises:
        RowOnItsWay: in a request under the fence middleware, which waits outside the transaction and repeats it.
    """
    row = model._default_manager.filter(pk=pk).first()
    if row is not None:
        return row
    state = owners.closed_by_table(model._meta.db_table)
    if state is None:
        return None
    headers = {}
    if request is not None and "Authorization" in request.headers:
        headers["Authorization"] = request.headers["Authorization"]
    awaited = AwaitedRow(model, pk, state, headers)
    attempt = getattr(request, "fence_attempt", None)
    if attempt is None:
        return model._default_manager.filter(pk=pk).first() if awaited.arrive() else None
    if attempt.denied(awaited):
        return None
    attempt.awaited = awaited
    raise RowOnItsWay(awaited)
