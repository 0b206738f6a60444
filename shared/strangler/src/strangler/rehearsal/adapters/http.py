"""HTTP as a plain client speaks it: one kept connection, no retries, no redirects followed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from strangler.domain.traffic import Answer, Fields, Operation, Value
from strangler.rehearsal.ports import Http, HttpError

TIMEOUT_SECONDS = 20.0


class Connection(Http):
    """Speaks to one address. The connection is opened by the first request, and again after a failure."""

    def __init__(self, address: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=timeout)

    def send(self, operation: Operation) -> Answer:
        """Bodies are sent as JSON, and forms as browsers send them."""
        headers = {"Accept": "*/*" if operation.form else "application/json", **operation.headers}
        body = None
        if operation.form is not None:
            body = urlencode([*_fields(operation.form)]).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif operation.body is not None:
            body = json.dumps(operation.body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(operation.method, operation.path, body, headers)
            response = self._connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read(), _cookies(response))
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise HttpError(f"no answer: {error!r}") from error

    def close(self) -> None:
        """The next request would open it again."""
        self._connection.close()


def _fields(form: Fields) -> Iterator[tuple[str, Value]]:
    for name, value in form.items():
        for each in [value] if value is None or isinstance(value, str | int) else value:
            yield name, "" if each is None else each


def _cookies(response: http.client.HTTPResponse) -> dict[str, str]:
    found: SimpleCookie = SimpleCookie()
    for line in response.headers.get_all("Set-Cookie", ()):
        found.load(line)
    return {name: morsel.value for name, morsel in found.items()}
