"""The shop's public interface, as one visitor uses it for one page.

Note "one clock": a page asks several times, and its visitor waits for all of it. So the seconds belong to the page:
each question has those that are left.

Note "asked again": a question is repeated only where that does no harm, which is where it changes nothing, or bears an
Idempotency-Key. And only once, and only where no answer has come.

Note "renewed": tokens of access last some minutes. The first question that is refused for an old one gets a new pair
for the refresh token. Two pages at a time may each get a pair, and both are good.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3
from chassis.process import admission, logs
from chassis.process.circuit import Circuit, OpenError
from django.conf import settings
from django.utils.dateparse import parse_datetime

from storefront import clients
from storefront.failures import (
    BUSY,
    SILENT,
    InterfaceError,
    LoggedOutError,
    MissingError,
    NoAnswerError,
    PassingError,
    RefusedError,
    TooOftenError,
)

CONNECT_SECONDS = 2.0
LEAST_SECONDS = 0.05
LARGEST_ANSWER = 4 << 20  # bytes
CHUNK = 1 << 16
CATEGORIES_SECONDS = 60.0
PER_PAGE, CATEGORIES_PER_PAGE = 24, 200
SIDES = "x-strangler-side"
SAFE = frozenset({"GET"})
LOGGED_OUT = "Please log in."

Answer = dict[str, Any]


@dataclass
class Account:
    """Who is logged in; the tokens change when they are renewed."""

    name: str
    access: str
    refresh: str


@dataclass(frozen=True)
class Page:
    """A part of a list; ``cursor`` leads to the next, and is empty at the end."""

    results: Sequence[Answer]
    cursor: str


@dataclass
class Category:
    """A department, with its shelves."""

    id: int
    name: str
    slug: str
    shelves: list[Category] = field(default_factory=list)


class _Gateway:
    """Connections that all pages of the process share."""

    def __init__(self, url: str, *, resting: float = 2.0) -> None:
        self._pool = urllib3.PoolManager(num_pools=2, maxsize=32, retries=False)
        self._url = url.rstrip("/")
        self.circuit = Circuit("gateway", failures=8, rest=resting)

    def send(self, method: str, path: str, *, until: float, headers: Mapping[str, str], body: bytes | None) -> _Reply:
        """Raises NoAnswerError."""
        try:
            with self.circuit.guard(NoAnswerError):
                return self._send(method, path, until=until, headers=headers, body=body)
        except OpenError:
            raise NoAnswerError(SILENT) from None

    def _send(self, method: str, path: str, *, until: float, headers: Mapping[str, str], body: bytes | None) -> _Reply:
        left = max(until - time.monotonic(), LEAST_SECONDS)
        limits = urllib3.Timeout(connect=min(left, CONNECT_SECONDS), read=left)
        try:
            answer = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers=dict(headers),
                timeout=limits,
                redirect=False,
                preload_content=False,
            )
            try:
                pieces, size = [], 0
                # Not `read`, which waits until so much is there.
                while piece := answer.read1(CHUNK):
                    pieces.append(piece)
                    size += len(piece)
                    # urllib3 limits each wait, and not the sum of them.
                    if time.monotonic() > until or size > LARGEST_ANSWER:
                        raise NoAnswerError(SILENT)
            finally:
                answer.close() if answer.length_remaining else answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswerError(SILENT) from error
        return _Reply(answer.status, answer.headers, b"".join(pieces))


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None

    @property
    def after(self) -> int | None:
        text = self.headers.get("retry-after", "").strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


_gateways: dict[str, _Gateway] = {}
_categories: dict[str, tuple[float, list[Category]]] = {}


def _gateway() -> _Gateway:
    url: str = settings.GATEWAY_URL
    return _gateways.setdefault(url, _Gateway(url)) if url not in _gateways else _gateways[url]


class Interface:
    """What a page asks for, in the name of ``account`` where that is needed and somebody is logged in.

    ``sides`` has, after each question, which side has answered for which capability, as far as the gateway tells it.

    Each question raises an `InterfaceError` where it is not answered as it should be.
    """

    def __init__(self, *, client: str, secure: bool, account: Account | None, seconds: float | None = None) -> None:
        self.account = account
        self.sides: dict[str, str] = {}
        self._client = client
        self._secure = secure
        self._seconds: float = settings.API_SECONDS if seconds is None else seconds
        self._until: float | None = None

    # Catalogue

    def categories(self) -> list[Category]:
        """Departments with their shelves, which change rarely: they are kept for a minute, and longer while nobody
        answers."""
        kept = _categories.get(settings.GATEWAY_URL)
        if kept and time.monotonic() - kept[0] < CATEGORIES_SECONDS:
            return kept[1]
        try:
            found = _nested(self._all_categories())
        except InterfaceError:
            if kept is None:
                raise
            return kept[1]
        _categories[settings.GATEWAY_URL] = (time.monotonic(), found)
        return found

    def _all_categories(self) -> list[Answer]:
        found: list[Answer] = []
        cursor = ""
        while True:
            page = _page(self.get("/api/v1/categories", {"page_size": CATEGORIES_PER_PAGE, "cursor": cursor}))
            found += page.results
            cursor = page.cursor
            if not cursor:
                return found

    def products(self, *, search: str, category: str, ordering: str, cursor: str) -> Page:
        asked = {"search": search, "category": category, "ordering": ordering, "cursor": cursor, "page_size": PER_PAGE}
        found = _page(self.get("/api/v1/products", asked))
        return replace(found, results=[_priced(each, "price") for each in found.results])

    def product(self, product: int) -> Answer:
        return _priced(self.get(f"/api/v1/products/{product}"), "price")

    # Accounts

    def register(self, *, email: str, password: str, full_name: str) -> None:
        """Opens an account and logs it in."""
        self.post("/api/v1/users", {"email": email, "password": password, "full_name": full_name})
        self.log_in(email=email, password=password)

    def log_in(self, *, email: str, password: str) -> None:
        """Raises LoggedOutError where no account has them."""
        pair = self.post("/api/v1/auth/token", {"email": email, "password": password})
        self.account = Account(name="", access=pair["access"], refresh=pair["refresh"])
        me = self.get("/api/v1/users/me", customer=True)
        self.account.name = me["full_name"] or me["email"]

    # Orders

    def place(self, lines: Mapping[int, int], *, key: str) -> Answer:
        """The order; the same again for the same key."""
        wishes = [{"product_id": product, "quantity": pieces} for product, pieces in lines.items()]
        return _order(self.post("/api/v1/orders", {"lines": wishes}, key=key, customer=True))

    def orders(self, *, cursor: str) -> Page:
        found = _page(self.get("/api/v1/orders", {"cursor": cursor, "page_size": PER_PAGE}, customer=True))
        return replace(found, results=[_order(each) for each in found.results])

    def order(self, order: int) -> Answer:
        return _order(self.get(f"/api/v1/orders/{order}", customer=True))

    def cancel(self, order: int) -> Answer:
        return _order(self.post(f"/api/v1/orders/{order}/cancel", customer=True))

    # Questions

    def get(self, path: str, fields: Mapping[str, Any] | None = None, *, customer: bool = False) -> Any:
        """What is answered; ``fields`` that are empty are not sent."""
        query = urlencode({name: value for name, value in (fields or {}).items() if value not in ("", None)})
        return self._ask("GET", f"{path}?{query}" if query else path, customer=customer)

    def post(self, path: str, content: Any = None, *, key: str = "", customer: bool = False) -> Any:
        """What is answered; ``key`` is sent as Idempotency-Key."""
        return self._ask("POST", path, content, key=key, customer=customer)

    def _ask(self, method: str, path: str, content: Any = None, *, key: str = "", customer: bool) -> Any:
        if customer and self.account is None:
            raise LoggedOutError(LOGGED_OUT)
        reply = self._send(method, path, content, key=key, customer=customer)
        if reply.status == 401 and customer:
            self._renew()
            reply = self._send(method, path, content, key=key, customer=customer)
        return _answered(reply)

    def _renew(self) -> None:
        """See the note "renewed". Raises LoggedOutError where the account is gone or was away for too long."""
        assert self.account is not None
        reply = self._send("POST", "/api/v1/auth/refresh", {"refresh": self.account.refresh}, customer=False)
        try:
            pair = _answered(reply)
        except (LoggedOutError, RefusedError):
            self.account = None
            raise LoggedOutError("You were logged out, for you were away for long. Please log in again.") from None
        self.account = replace(self.account, access=pair["access"], refresh=pair["refresh"])

    def _send(self, method: str, path: str, content: Any = None, *, key: str = "", customer: bool) -> _Reply:
        # See the note "one clock": it starts with the first question.
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        headers = self._headers(key, customer=customer)
        body = None if content is None else json.dumps(content).encode()
        with admission.aside():
            try:
                reply = _gateway().send(method, path, until=self._until, headers=headers, body=body)
            except NoAnswerError:
                if (method not in SAFE and not key) or time.monotonic() >= self._until:
                    raise
                reply = _gateway().send(method, path, until=self._until, headers=headers, body=body)
        capability, _, side = reply.headers.get(SIDES, "").partition("/")
        # "-" is what a gateway writes for what it does not know.
        if capability.strip("-") and side.strip("-"):
            self.sides[capability] = side
        return reply

    def _headers(self, key: str, *, customer: bool) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "X-Forwarded-For": clients.told(self._client),
            "X-Forwarded-Proto": "https" if self._secure else "http",
        }
        if key:
            headers["Idempotency-Key"] = key
        if customer and self.account:
            headers["Authorization"] = f"Bearer {self.account.access}"
        if current := logs.request_id.get():
            headers[logs.HEADER] = current
        return headers


def _answered(reply: _Reply) -> Any:
    """The content of a 2xx; raises the error that another status stands for."""
    if 200 <= reply.status < 300:
        if reply.body and reply.content is None:
            raise InterfaceError("The shop has answered something that cannot be read.")
        return reply.content
    content = reply.content if isinstance(reply.content, dict) else {}
    detail = content.get("detail") if isinstance(content.get("detail"), str) else ""
    match reply.status:
        case 401:
            raise LoggedOutError(detail or LOGGED_OUT)
        case 404:
            raise MissingError("There is no such thing here.")
        case 429:
            raise TooOftenError("That was very often in a short time.", after=reply.after)
        case 502 | 503 | 504:
            raise PassingError(BUSY, after=reply.after)
        case 400 | 403 | 409 | 413 | 422:
            fields = {name: list(_texts(each)) for name, each in content.items() if name != "detail"}
            sentence = detail or next((text for texts in fields.values() for text in texts), "This was refused.")
            raise RefusedError(sentence, status=reply.status, fields=fields)
        case _:
            raise InterfaceError("The shop has made an error. It has been noted.")


def _texts(held: Any) -> Sequence[str]:
    """All texts in what may be nested, as errors in a list of lines are."""
    if isinstance(held, str):
        return [held]
    if isinstance(held, Mapping):
        held = list(held.values())
    return [text for each in held for text in _texts(each)] if isinstance(held, list) else []


def _page(answer: Answer) -> Page:
    cursor = parse_qs(urlsplit(answer["next"] or "").query).get("cursor", [""])[0]
    return Page(answer["results"], cursor)


def _nested(flat: Sequence[Answer]) -> list[Category]:
    known = {each["id"]: Category(each["id"], each["name"], each["slug"]) for each in flat}
    for each in flat:
        if each["parent"] in known:
            known[each["parent"]].shelves.append(known[each["id"]])
    return [known[each["id"]] for each in flat if each["parent"] is None]


def _order(answer: Answer) -> Answer:
    lines = [_priced(line, "unit_price") for line in answer["lines"]]
    for line in lines:
        line["sum"] = line["unit_price"] * line["quantity"]
    placed = parse_datetime(answer["created_at"])
    return {**_priced(answer, "total"), "lines": lines, "created_at": placed}


def _priced(answer: Answer, name: str) -> Answer:
    """Money comes as text, so that nobody rounds it on its way."""
    try:
        return {**answer, name: Decimal(answer[name])}
    except (InvalidOperation, TypeError):
        raise InterfaceError("The shop has answered something that cannot be read.") from None
