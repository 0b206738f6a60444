"""Positions in the owner's log, by which no client reads an older answer from a copy than before.

While both sides answer reads, each answer of the owner bears the position that its log has come to when the answer is
known: everything that the client has written, or seen, was committed before it. The client brings the position
back, and a copy answers only if it has come so far.

Note "visible": a copy knows how far it has come by heartbeats, and by nothing else. A heartbeat is a row that
`strangler serve` writes in the owner's database, with the position of the log before its own commit. A stream applies
transactions in the order of their commits, each after the one before has become visible. So whoever sees a heartbeat
sees everything that was committed before its position. The stream's own progress says less: it is moved on before the
rows can be seen.

Note "the look comes first": the copy looks for the heartbeat before the view's transaction takes its snapshot, so the
view sees at least as much.

Note "two cookies": answers to requests that a client has sent at the same time may overtake each other. What was seen
never takes the place of what was written; of two writes at a time, that counts whose answer arrives last.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control
from prometheus_client import Counter

from chassis.agreement import (
    BEATS,
    FORWARDED,
    KEPT,
    POSITION,
    POSITION_NOW,
    POSITIONS,
    READS,
    ROUTE,
    SEEN,
    TO,
    WROTE,
)
from chassis.ownership import owners, sealing
from chassis.ownership.owners import Shared, SideState
from chassis.process import admission, waiting
from chassis.process.admission import SAFE_METHODS
from chassis.process.routes import bounded
from chassis.process.waiting import Full

logger = logging.getLogger("chassis.ownership.positions")

# A position that is older than this, and than many times the age of the oldest copy that answers, has arrived anywhere.
LEAST_SECONDS = 300
LAGS = 20
# A request that takes longer looks again whether reads are shared now: the tool waits for somewhat more before it lets
# a copy answer.
LOOK_AGAIN_SECONDS = 0.2
POLL_SECONDS = 0.004
SECRET_SECONDS = 10.0
UNKNOWN = "0"  # in the place of a position that could not be read
MARK_BYTES = 15

KEPT_SECONDS = 30 * 24 * 3600

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,99}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

Outcome = Literal["answered", "waited", "behind", "late", "unreadable", "unproven", "ended"]
READ = Counter(
    "chassis_copy_reads_total",
    "Reads that a gateway has sent to a copy, by what became of them: answered here, at once or after a wait, or led "
    "to the owner.",
    ["capability", "outcome"],
)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log of the owner of ``epoch``."""

    epoch: int
    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that can be seen here; ``age`` in seconds, by the two servers' clocks."""

    position: Position
    age: float

    def covers(self, position: Position) -> bool:
        """Whether everything before the position can be seen here."""
        mine = self.position
        same = mine.epoch == position.epoch & _WHOLE and mine.timeline == position.timeline & _WHOLE
        return same and mine.lsn >= position.lsn


_WHOLE = (1 << 24) - 1


def read_beat(id: str) -> Position:
    """What the id of a heartbeat's row says: the log's position in its first 64 free bits, then timeline and epoch."""
    value = UUID(id).int
    high, low = value >> 64, value & ((1 << 62) - 1)
    lsn = (high >> 16) << 16 | (high & 0xFFF) << 4 | low >> 58
    return Position(epoch=low >> 10 & _WHOLE, timeline=low >> 34 & _WHOLE, lsn=lsn)


def sent_to_the_copy(request: HttpRequest) -> str | None:
    """The capability of which the gateway has sent this read to the copy; None for all other requests."""
    name = request.headers.get(READS, "")
    if request.method not in SAFE_METHODS or not _NAME.fullmatch(name):
        return None
    return None if TO in request.headers or FORWARDED in request.headers else name


def may_answer(request: HttpRequest, state: SideState) -> bool:
    """Whether the copy here is as new as this client has to see it; waits a little for it.

    Called outside any transaction, before the view's; see the note "the look comes first".
    """
    outcome = _outcome(request, state)
    READ.labels(bounded(state.capability), outcome).inc()
    return outcome in ("answered", "waited")


def is_meant(request: HttpRequest, state: SideState) -> bool:
    """Whether the gateway has sent this read here although the other side owns the capability."""
    to = request.headers.get(TO, state.side)
    return request.headers.get(READS) == state.capability and not state.open and to == state.side


def give(request: HttpRequest, response: HttpResponseBase, sides: Mapping[str, SideState], began: float) -> None:
    """Gives the client the position of the log where this side owns what both sides answer reads of.

    ``sides`` are as they were at the beginning of the request, which was at ``began`` (``time.monotonic``) or after.
    """
    if TO in response.headers:
        return
    _keep_at_its_side(request, response, sides)
    if (name := request.headers.get(READS, "")) in sides and not sides[name].open:
        _keep_private(response)
    giving = _giving(sides)
    try:
        if not giving and sides and time.monotonic() - began > LOOK_AGAIN_SECONDS:
            giving = _giving(owners.sides())
        if not giving:
            return
        tokens = _tokens(giving)
    except Error as error:
        # The client may have written something, and nobody knows where: only the owner can answer.
        logger.warning("position_unknown", extra={"reason": str(error).strip()})
        tokens = dict.fromkeys((state.capability for state in giving), UNKNOWN)
        if not tokens:
            return
    _hand_over(request, response, {state.capability: state.shared for state in giving}, tokens)


def _giving(sides: Mapping[str, SideState]) -> list[SideState]:
    return [state for state in sides.values() if state.open and state.shared is not None]


def _tokens(giving: list[SideState], using: str = DEFAULT_DB_ALIAS) -> dict[str, str]:
    secrets = {state.capability: _secret(state, using) for state in giving}
    with connections[using].cursor() as cursor:
        cursor.execute(POSITION_NOW)
        timeline, lsn = cursor.fetchone()
    return {
        state.capability: _sealed(state, secret, Position(state.epoch, int(timeline, 16), int(lsn)))
        if (secret := secrets[state.capability])
        else UNKNOWN
        for state in giving
    }


def _hand_over(
    request: HttpRequest,
    response: HttpResponseBase,
    shares: Mapping[str, Shared | None],
    tokens: Mapping[str, str],
) -> None:
    cookie = SEEN if request.method in SAFE_METHODS else WROTE
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip() or request.scheme
    for capability, token in tokens.items():
        response.set_cookie(
            cookie + capability,
            token,
            max_age=_lasts(shares.get(capability)),
            secure=scheme == "https",
            httponly=True,
            samesite="Lax",
        )
    response[POSITION] = ", ".join(f"{capability}:{token}" for capability, token in tokens.items())
    _keep_private(response)


def _keep_at_its_side(request: HttpRequest, response: HttpResponseBase, sides: Mapping[str, SideState]) -> None:
    """Gives a new client, whose first read the copy has led here, the cookie that the gateway gives with all other
    answers: without it the gateway would choose again, until it chooses the owner for good."""
    own = sides.get(request.headers.get(READS, ""))
    if own is None or not own.open or TO not in request.headers or KEPT in request.COOKIES:
        return
    if ROUTE not in request.headers and _PLAIN_ID.fullmatch(id := request.headers.get("x-request-id", "")):
        response.set_cookie(KEPT, id, max_age=KEPT_SECONDS, httponly=True, samesite="Lax")


def _keep_private(response: HttpResponseBase) -> None:
    """A cache that many share would give one client's cookies to another, or an older answer."""
    if "no-store" not in response.headers.get("Cache-Control", ""):
        patch_cache_control(response, private=True)


def _lasts(shared: Shared | None) -> int:
    return max(LEAST_SECONDS, int(LAGS * shared.max_lag) if shared else 0)


def _outcome(request: HttpRequest, state: SideState) -> Outcome:
    shared = state.shared
    if shared is None or shared.epoch != state.epoch:
        return "ended"
    known = _known(request, state, shared)
    if known is None:
        return "unreadable"
    if not known and not shared.trusting and _may_have_lost_one(request):
        return "unproven"
    found = _compared(state, shared, known)
    if found != "waited":
        return found
    try:
        with waiting.process.one("owners"), admission.aside():
            return _await(state, shared, known)
    except Full:
        return "behind"


def _await(state: SideState, shared: Shared, known: list[Position]) -> Outcome:
    deadline = time.monotonic() + shared.wait
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        found = _compared(state, shared, known)
        if found != "waited":
            return "waited" if found == "answered" else found
    return "behind"


def _compared(state: SideState, shared: Shared, known: list[Position]) -> Outcome:
    """What becomes of the read if nobody waits; or ``waited``, where a short wait may help."""
    newest = _newest(state)
    if newest is None or newest.age > shared.max_lag:
        return "late"
    if all(newest.covers(position) for position in known):
        return "answered"
    return "waited" if newest.age <= shared.wait else "behind"


def _newest(state: SideState, using: str = DEFAULT_DB_ALIAS) -> Beat | None:
    with connections[using].cursor() as cursor:
        cursor.execute(BEATS, [state.capability])
        beats = [Beat(read_beat(id), age) for id, age in cursor.fetchall()]
    own = [beat for beat in beats if beat.position.epoch == state.epoch & _WHOLE]
    return min(own, key=lambda beat: beat.age, default=None)


def _may_have_lost_one(request: HttpRequest) -> bool:
    """Whether this may be a client who has been given a position and does not bring it: it is known to the
    application, and has not shown that it keeps cookies. A tester has chosen the copy."""
    if KEPT in request.COOKIES or request.headers.get(ROUTE) == "service":
        return False
    return "Authorization" in request.headers or bool(request.COOKIES)


def _known(request: HttpRequest, state: SideState, shared: Shared) -> list[Position] | None:
    """The positions that the client brings; None where one of them means nothing here."""
    found = []
    for token in _brought(request, state.capability):
        secret = _secret(state)
        position = _opened(state, secret, token, _lasts(shared)) if secret else None
        if position is None or position.epoch != state.epoch:
            return None
        found.append(position)
    return found


def _brought(request: HttpRequest, capability: str) -> Iterator[str]:
    for name in (WROTE + capability, SEEN + capability):
        if name in request.COOKIES:
            yield request.COOKIES[name]
    for part in request.headers.get(POSITION, "").split(","):
        name, _, token = part.strip().partition(":")
        if name == capability:
            yield token


def _sealed(state: SideState, secret: str, position: Position) -> str:
    text = f"{position.epoch:x}.{position.timeline:x}.{position.lsn:x}.{int(time.time()):x}"
    return f"{_text(text.encode())}.{_mark(state, secret, text)}"


def _opened(state: SideState, secret: str, token: str, lasts: float) -> Position | None:
    content, _, mark = token.partition(".")
    try:
        text = base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)).decode("ascii")
    except ValueError:
        return None
    if not hmac.compare_digest(_mark(state, secret, text).encode(), mark.encode(errors="replace")):
        return None
    epoch, timeline, lsn, given = (int(part, 16) for part in text.split("."))
    left = given + lasts - time.time()
    return Position(epoch, timeline, lsn) if left >= -sealing.LEEWAY_SECONDS else None


def _mark(state: SideState, secret: str, text: str) -> str:
    purpose = f"{POSITIONS}\n{state.capability}\n{text}"
    return _text(hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest()[:MARK_BYTES])


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


_secrets: dict[tuple[str, str, int], tuple[float, str | None]] = {}


def _secret(state: SideState, using: str = DEFAULT_DB_ALIAS) -> str | None:
    """The secret of the move, which both sides have; asked for now and then, and for each epoch."""
    key = (using, state.capability, state.epoch)
    at, known = _secrets.get(key, (float("-inf"), None))
    if known is None or time.monotonic() - at > SECRET_SECONDS:
        known = sealing.secret_of(state.capability, using)
        _secrets[key] = time.monotonic(), known
    return known


def forget() -> None:
    """The next question for a secret is asked anew: for tests."""
    _secrets.clear()
