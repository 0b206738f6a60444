"""Asks the side that has the accounts whose a session or a token is.

Note "how old": an answer may be used for ``CHASSIS_IDENTITY_SECONDS`` from when its question began, by the process that
asked. Whoever comes meanwhile waits for the same answer. So a logout, a new password or a deactivation that was
committed so many seconds ago is known, whatever was asked before. With 0 each request asks for itself.

Note "what is kept": answers, by a hash with a key that the process made for itself. Neither sessions nor tokens are
kept. An answer that knows nothing is not kept either: who guesses cannot push others out, and a session that begins
just then is known at once.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Literal

import urllib3
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from prometheus_client import Counter

from chassis import agreement, settings
from chassis.identity.remote import user_of
from chassis.identity.telling import ANSWER, NOTHING, PATH, POSSIBLE
from chassis.ownership import sealing
from chassis.ownership.sealing import UnsealedError
from chassis.process import about, admission, logs, tracing, waiting
from chassis.process.circuit import Circuit, OpenError
from chassis.process.logs import Complaint
from chassis.process.waiting import Full

logger = logging.getLogger("chassis.identity.lookups")

ASKED = Counter("chassis_identity_lookups_total", "Questions whose a session or a token is, by what came.", ["outcome"])

Kind = Literal["session", "token"]

MOST_KEPT = 4096  # answers
LARGEST_KEPT_BYTES = 16 * 1024
CONNECT_SECONDS = 1.0
RETRY_AFTER_SECONDS = 2
FAILURES, REST_SECONDS = 5, 1.0  # of the circuit
AWAY = frozenset({502, 503, 504})
_KEPT = "chassis.identity.lookups"  # in each request's environment, which its copies share


class UnavailableError(Exception):
    """Who it is cannot be told now; the client has done nothing wrong."""


class NoAnswerError(UnavailableError):
    """The side that has the accounts is away, whatever it is asked. Only this opens the circuit: a client chooses what
    is asked, and must not be able to keep others from being known."""


class Lookups:
    """The process's answers; safe to use from many threads. See the notes "how old" and "what is kept".

    ``ask`` returns an answer, and for how many seconds it may be used; it raises UnavailableError.
    """

    def __init__(
        self, ask: Callable[[Kind, str], tuple[bytes, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._secret = os.urandom(32)
        self._lock = threading.Lock()
        self._flights: OrderedDict[bytes, _Flight] = OrderedDict()

    @sensitive_variables("key")
    def find(self, kind: Kind, key: str) -> bytes:
        """The answer as JSON: ``user`` (None where there is none) and ``session``. Raises UnavailableError."""
        if not POSSIBLE.fullmatch(key):
            return json.dumps(NOTHING).encode()
        name = hmac.digest(self._secret, f"{kind}\n{key}".encode(), "sha256")
        flight, is_mine = self._board(name)
        if not is_mine and flight.answer.done():
            ASKED.labels("kept").inc()
            return flight.result(0)
        try:
            with waiting.process.one("peers"), admission.aside():
                if is_mine:
                    self._fly(name, flight, kind, key)
                return flight.result(settings.identity_timeout() + CONNECT_SECONDS)
        except Full:
            if is_mine:
                self._fail(name, flight, "too many requests wait already")
            raise UnavailableError("too many requests wait already") from None

    def _board(self, name: bytes) -> tuple[_Flight, bool]:
        """The question whose answer may be used, and whether the caller has to ask it."""
        now = self._clock()
        with self._lock:
            flight = self._flights.get(name)
            if flight is not None and now < flight.until:
                self._flights.move_to_end(name)
                return flight, False
            flight = self._flights[name] = _Flight(now, settings.identity_seconds())
            self._flights.move_to_end(name)
            if len(self._flights) > MOST_KEPT:
                self._flights.popitem(last=False)
            return flight, True

    @sensitive_variables("key")
    def _fly(self, name: bytes, flight: _Flight, kind: Kind, key: str) -> None:
        try:
            answer, seconds = self._ask(kind, key)
        except BaseException as error:
            known = isinstance(error, UnavailableError)
            self._fail(name, flight, str(error) if known else type(error).__name__)
            if known:
                return
            raise
        flight.until = min(flight.until, flight.began + seconds)
        if len(answer) > LARGEST_KEPT_BYTES or flight.until <= flight.began or _knows_nothing(answer):
            self._forget(name, flight)
        flight.answer.set_result(answer)

    def _fail(self, name: bytes, flight: _Flight, reason: str) -> None:
        self._forget(name, flight)
        flight.answer.set_exception(UnavailableError(reason))

    def _forget(self, name: bytes, flight: _Flight) -> None:
        with self._lock:
            if self._flights.get(name) is flight:
                del self._flights[name]


class _Flight:
    """One question, from its beginning until its answer may no longer be used."""

    def __init__(self, began: float, seconds: float) -> None:
        self.began = began
        self.until = began + seconds
        self.answer: Future[bytes] = Future()

    def result(self, seconds: float) -> bytes:
        try:
            return self.answer.result(seconds)
        except UnavailableError as error:
            raise UnavailableError(str(error)) from None  # each thread raises its own
        except TimeoutError:
            raise UnavailableError("no answer in time") from None


class Asked:
    """What one request has learnt. It asks once for a session or a token, also where nothing came of it."""

    def __init__(self) -> None:
        self.failed = False  # whether somebody wanted to know what could not be told
        self._answers: dict[tuple[Kind, str], Mapping[str, Any] | UnavailableError] = {}

    @sensitive_variables("key")
    def ahead(self, kind: Kind, key: str) -> None:
        """Asks now; what comes of it is for later."""
        if (kind, key) not in self._answers:
            try:
                self._answers[kind, key] = json.loads(process.find(kind, key))
            except UnavailableError as error:
                self._answers[kind, key] = error

    @sensitive_variables("key")
    def user(self, kind: Kind, key: str) -> Any:
        """As `chassis.identity.remote.user_of` makes it; None where there is none. Raises UnavailableError."""
        told = self._answer(kind, key)["user"]
        if told is None:
            return None
        user = user_of(told)
        about.note_user(user.pk)
        return user

    @sensitive_variables("key")
    def session(self, key: str) -> dict[str, Any]:
        """The content of a session; empty where there is none. Raises UnavailableError."""
        content: dict[str, Any] = self._answer("session", key)["session"]
        return content

    @sensitive_variables("key")
    def _answer(self, kind: Kind, key: str) -> Mapping[str, Any]:
        self.ahead(kind, key)
        found = self._answers[kind, key]
        if isinstance(found, UnavailableError):
            self.failed = True
            raise UnavailableError(str(found))
        return found


def of(request: HttpRequest) -> Asked:
    """What the request has learnt, in whatever copy of it."""
    found: Asked = request.META.setdefault(_KEPT, Asked())
    return found


_pool = urllib3.PoolManager(maxsize=settings.threads(), retries=False)
_circuit = Circuit("identity", failures=FAILURES, rest=REST_SECONDS, patience=10.0)
_complaint = Complaint(logger, "identity_unavailable")


@sensitive_variables("key")
def _ask(kind: Kind, key: str) -> tuple[bytes, float]:
    """Asks the side that has the accounts.

    Raises UnavailableError, and ImproperlyConfigured without an address or a secret.
    """
    url, known = settings.identity_url(), settings.identity_secrets()
    if not url or not known:
        raise ImproperlyConfigured(
            "CHASSIS_IDENTITY_URL or CHASSIS_IDENTITY_SECRETS is not set: nobody can be asked who somebody is"
        )
    try:
        with _circuit.guard(NoAnswerError), tracing.span("POST identity", kind="client"):
            found = _exchange(url.rstrip("/") + PATH, known, {"kind": kind, "key": key})
    except OpenError:
        ASKED.labels("not_asked").inc()
        raise UnavailableError("not asked: it has failed too often just now") from None
    except UnavailableError as error:
        ASKED.labels("failed").inc()
        _complaint.make(str(error), url=url)
        raise
    ASKED.labels("answered").inc()
    _complaint.over()
    return found


@sensitive_variables("question", "body")
def _exchange(url: str, known: tuple[str, ...], question: Mapping[str, str]) -> tuple[bytes, float]:
    nonce = secrets.token_hex(16)
    body, signature = sealing.seal(known[0], {**question, "nonce": nonce}, PATH)
    headers = {
        "Content-Type": "application/json",
        agreement.SIGNATURE: signature,
        tracing.HEADER: tracing.current_traceparent(),
    }
    if current := logs.request_id.get():
        headers[logs.HEADER] = current
    answer = _post(url, body, headers)
    if answer.status != 200:
        said = answer.data[:300].decode(errors="replace")
        kind = NoAnswerError if answer.status in AWAY else UnavailableError
        raise kind(f"the side that has the accounts answered {answer.status}: {said}")
    try:
        told = sealing.opened(known, answer.data, answer.headers.get(agreement.SIGNATURE, ""), ANSWER)
    except UnsealedError as error:
        raise UnavailableError(f"an answer was not accepted: {error}") from None
    if not hmac.compare_digest(str(told["nonce"]), nonce):
        raise UnavailableError("an answer was not accepted: it is that to another question")
    kept = {"user": told["user"], "session": told["session"]}
    return json.dumps(kept).encode(), float(told["seconds"])


@sensitive_variables("body")
def _post(url: str, body: bytes, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """Once more where a kept connection breaks, for the other side may have closed it just then; to ask twice does no
    harm."""
    deadline = time.monotonic() + settings.identity_timeout()
    for is_last in (False, True):
        left = max(deadline - time.monotonic(), 0.01)
        timeout = urllib3.Timeout(connect=min(left, CONNECT_SECONDS), read=left)
        try:
            return _pool.request("POST", url, body=body, headers=headers, timeout=timeout, redirect=False)
        except urllib3.exceptions.ProtocolError as error:
            if is_last:
                raise NoAnswerError(f"the connection broke ({type(error).__name__})") from None
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswerError(f"no answer ({type(error).__name__})") from None
    raise AssertionError("the last try either returned or raised")


def _knows_nothing(answer: bytes) -> bool:
    return bool(json.loads(answer) == NOTHING)


process = Lookups(_ask)
