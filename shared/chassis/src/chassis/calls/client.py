"""Calls of one service to another over HTTP, in the caller's own name.

``catalogue = Client("catalogue", "http://gateway:8081", caller="lending")`` lives as long as the process and is used by
all its threads: ``catalogue.get("/internal/books/7").json()``. Make it where a module is imported, so that the process
has it before its first request, and has it once: it opens its connections when it is first called, so a server may fork
after the import.

Note "outside transactions": a call may take seconds, and a transaction that waits for it holds its locks and its
connection meanwhile. And what the call did stays done when the transaction is rolled back. So a call is refused while a
transaction is open, unless ``CHASSIS_CALLS_IN_TRANSACTIONS`` allows it. Transactions that Django's TestCase opens
around a test do not count.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, ClassVar, Self

import httpx
import stamina
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from chassis import environment, settings
from chassis.identity import tokens
from chassis.process import admission, logs, tls, tracing
from chassis.process.admission import SAFE_METHODS
from chassis.process.circuit import Circuit, OpenError

logger = logging.getLogger(__name__)

KEY = "Idempotency-Key"
TRACE_KEY = "GATEWAY_TRACE_KEY"
# Busy or changing hands: the same request may well succeed in a moment.
PASSING = frozenset({429, 502, 503, 504})


class CallError(Exception):
    """A call to ``service`` came to nothing; every error of a client is one."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class OpenTransactionError(CallError):
    """The call was not made: a transaction is open."""


class CircuitOpenError(CallError):
    """The call was not made: the service has failed too often just now."""


class NoAnswerError(CallError):
    """The service could not be reached, or did not answer in time; it may have done what it was asked for."""


class StatusError(CallError):
    """The service answered with another status than 2xx."""

    def __init__(self, service: str, answer: httpx.Response) -> None:
        request = answer.request
        super().__init__(service, f"{request.method} {request.url.path} was answered with {answer.status_code}")
        self.answer = answer
        self.status = answer.status_code


class RefusedError(StatusError):
    """It is the request's fault (3xx, 4xx): as it is, it will not succeed."""


class BrokenError(StatusError):
    """It is the service's fault (5xx), or it is busy (429)."""


class Client:
    """What ``caller`` needs to call ``service``, whose name is also the audience of its tokens.

    An attempt takes ``timeout`` seconds at most. A call, with all its attempts and the waits between them, takes
    ``within`` seconds at most. A request is repeated only where that can do no harm: its method is safe, or it bears an
    Idempotency-Key. After ``failures`` failed attempts in a row no attempt is made for ``rest`` seconds.

    Redirects are not followed. The gateway knows the owner of what is asked for, so ``base_url`` names the gateway:
    the address at which it takes calls of services (`chassis.environment.internal`).
    """

    CONNECT_SECONDS: ClassVar[float] = 1.0

    def __init__(
        self,
        service: str,
        base_url: str,
        *,
        caller: str,
        timeout: float = 3.0,
        within: float = 10.0,
        attempts: int = 3,
        failures: int = 5,
        rest: float = 10.0,
        connections: int = 32,
    ) -> None:
        if within > tokens.SERVICE_LIFETIME.total_seconds():
            raise ValueError(f"{service}: a call of {within} seconds would outlive its token")
        self.service = service
        self._caller = caller
        self._timeout = timeout
        self._within = within
        self._attempts = attempts
        # An attempt that is cut off in the middle of an answer takes twice its time at most.
        self._circuit = Circuit(service, failures=failures, rest=rest, patience=max(rest, 2 * timeout))
        # Shorter than servers keep an idle connection: the side that closes first must know what has been sent.
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=20)
        # The environment's proxies and .netrc are for calls to the outside.
        self._http = httpx.Client(base_url=base_url, limits=limits, trust_env=False, verify=tls.trusted(base_url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    @property
    def circuit(self) -> str:
        """``closed``, ``open`` or ``half-open``."""
        return self._circuit.state

    def get(self, path: str, *, params: Mapping[str, Any] | None = None) -> httpx.Response:
        """See `request`."""
        return self.request("GET", path, params=params)

    def post(self, path: str, *, json: Any, key: str | None = None) -> httpx.Response:
        """See `request`."""
        return self.request("POST", path, json=json, key=key)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        key: str | None = None,
    ) -> httpx.Response:
        """The answer, which is a 2xx; ``key`` is sent as Idempotency-Key.

        Raises:
            OpenTransactionError, CircuitOpenError: the call was not made.
            NoAnswerError: nobody knows what came of it.
            RefusedError, BrokenError: it was answered otherwise.
        """
        if _transaction_is_open() and not settings.calls_in_transactions():
            raise OpenTransactionError(self.service, f"{method} {path} was called inside a transaction")
        deadline = time.monotonic() + self._within
        # Where there is no trace, one begins with the call, and all attempts belong to it.
        headers = self._headers(key) | {tracing.HEADER: tracing.current_traceparent()}
        repeatable = method.upper() in SAFE_METHODS or key is not None
        waits = stamina.retry_context(
            on=lambda error: repeatable and _again(error, deadline),
            attempts=self._attempts,
            timeout=self._within,
            wait_initial=0.1,
            wait_max=2.0,
            wait_jitter=0.1,
        )
        with admission.aside():
            for attempt in waits:
                with attempt:
                    return self._attempt(method, path, deadline, headers=headers, params=params, json=json)
        raise AssertionError("the last attempt either returned or raised")

    def _attempt(self, method: str, path: str, deadline: float, **content: Any) -> httpx.Response:
        until = min(deadline, time.monotonic() + self._timeout)
        headers = content["headers"]
        # Where there is no trace, all attempts belong to the one that began with the call.
        parent = "" if tracing.known_traceparent() else headers[tracing.HEADER]
        name, told = f"{method} {self.service}", self._told(method)
        with tracing.span(name, kind="client", parent=parent, attributes=told) as span:
            content["headers"] = headers | _trace(tracing.known_traceparent() or headers[tracing.HEADER])
            try:
                answer = self._try(method, path, until, content)
            except StatusError as error:
                span.note({"http.response.status_code": error.status})
                raise
            span.note({"http.response.status_code": answer.status_code})
            return answer

    def _told(self, method: str) -> dict[str, str]:
        return {"http.request.method": method, "peer.service": self.service}

    def _try(self, method: str, path: str, until: float, content: Mapping[str, Any]) -> httpx.Response:
        request = self._http.build_request(method, path, timeout=self._limits(until), **content)
        try:
            with self._circuit.guard(NoAnswerError, BrokenError):
                answer = self._send(request, until)
                if answer.is_success:
                    return answer
                broken = answer.is_server_error or answer.status_code in PASSING
                raise (BrokenError if broken else RefusedError)(self.service, answer)
        except OpenError:
            raise CircuitOpenError(self.service, "not called: it has failed too often just now") from None

    def _limits(self, until: float) -> httpx.Timeout:
        left = max(until - time.monotonic(), 0.001)
        return httpx.Timeout(left, connect=min(left, self.CONNECT_SECONDS), pool=min(left, self.CONNECT_SECONDS))

    def _send(self, request: httpx.Request, until: float) -> httpx.Response:
        """The whole answer. httpx limits each wait for a piece of it, but not the sum of these waits."""
        try:
            answer = self._http.send(request, stream=True)
            try:
                pieces = []
                for piece in answer.iter_raw():
                    pieces.append(piece)
                    if time.monotonic() > until:
                        raise NoAnswerError(self.service, "the answer did not end in time")
            finally:
                answer.close()
            return httpx.Response(answer.status_code, headers=answer.headers, content=b"".join(pieces), request=request)
        except httpx.HTTPError as error:
            raise NoAnswerError(self.service, f"{type(error).__name__}: {error}") from error

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {tokens.issue_service(self.service, self._caller)}",
        }
        if key is not None:
            headers[KEY] = key
        if current := logs.request_id.get():
            headers[logs.HEADER] = current
        return headers


def _trace(current: str) -> dict[str, str]:
    """The gateway takes a trace over only under a name that it and its stack's services alone know."""
    name = _known_name(*(os.environ.get(variable, "") for variable in (TRACE_KEY, f"{TRACE_KEY}_FILE")))
    return {tracing.HEADER: current} | ({name: current} if name else {})


@cache
def _known_name(*_: str) -> str:
    """Made once for each value of the variables; empty where there is no secret."""
    try:
        key = environment.text(TRACE_KEY)
    except ImproperlyConfigured as error:
        # A trace that ends at the gateway is no reason to make no call.
        logger.warning("trace_key_unreadable", extra={"reason": str(error)})
        return ""
    return f"x-trace-{hashlib.sha256(key.encode()).hexdigest()[:32]}" if key else ""


def _again(error: Exception, deadline: float) -> bool | float:
    """Whether to try again; the seconds to wait where the service has named them."""
    if time.monotonic() >= deadline:
        return False
    if isinstance(error, NoAnswerError):
        return True
    if not isinstance(error, BrokenError) or error.status not in PASSING:
        return False
    asked = _retry_after(error.answer)
    if asked is None:
        return True
    return asked if time.monotonic() + asked < deadline else False


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _transaction_is_open() -> bool:
    connection: Any = transaction.get_connection()
    blocks = getattr(connection, "atomic_blocks", ())
    # Django's `atomic(durable=True)` looks at this, too.
    ours = [block for block in blocks if not getattr(block, "_from_testcase", False)]
    return bool(connection.in_atomic_block and (ours or not blocks))
