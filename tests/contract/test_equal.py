"""The same conversation with both sides; every answer must be the same, except for what is new each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.contract.sides import PASSWORD, connect, fresh_email, sign_up

ADDRESS = {"line1": "1 Long Lane", "line2": "", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}
NEW_EACH_TIME = {"id", "created_at", "access", "refresh"}
HEADERS = ("allow", "cache-control", "content-type", "vary", "www-authenticate")


@dataclass(frozen=True)
class Step:
    """A request; ``{email}`` and ``{access}`` stand for the conversation's user."""

    method: str
    path: str
    body: Any = None
    signed_in: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    def __str__(self) -> str:
        what = self.raw if self.raw is not None else self.body
        return f"{self.method} {self.path} {'' if what is None else what}"[:90]


def anonymous(method: str, path: str, body: Any = None, **more: Any) -> Step:
    return Step(method, path, body, signed_in=False, **more)


USERS, TOKEN, REFRESH = "/api/v1/users", "/api/v1/auth/token", "/api/v1/auth/refresh"
ME, ADDRESSES, JWKS = "/api/v1/users/me", "/api/v1/users/me/addresses", "/.well-known/jwks.json"

CONVERSATION = [
    anonymous("POST", USERS, {}),
    anonymous("POST", USERS, []),
    anonymous("POST", USERS, raw=b"{"),
    anonymous("POST", USERS, raw=b""),
    anonymous("POST", USERS, raw=b"email=a", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    anonymous("POST", USERS, {"email": "{email}", "password": PASSWORD, "full_name": "Twin"}),
    anonymous("POST", USERS, {"email": "nobody", "password": "1", "full_name": ""}),
    anonymous("POST", USERS, {"email": 7, "password": 7, "full_name": 7}),
    anonymous("GET", USERS),
    anonymous("OPTIONS", USERS),
    anonymous("POST", USERS + "/", {}),
    anonymous("POST", TOKEN, {"email": "{email}", "password": PASSWORD}),
    anonymous("POST", TOKEN, {"email": "{email}", "password": "wrong"}),
    anonymous("POST", TOKEN, {"email": "nobody@example.org", "password": PASSWORD}),
    anonymous("POST", TOKEN, {}),
    anonymous("GET", TOKEN),
    anonymous("POST", REFRESH, {"refresh": "a.b.c"}),
    anonymous("POST", REFRESH, {}),
    anonymous("GET", JWKS),
    anonymous("POST", JWKS, {}),
    anonymous("GET", ME),
    anonymous("GET", ME, headers={"Authorization": "Bearer"}),
    anonymous("GET", ME, headers={"Authorization": "Bearer a b"}),
    anonymous("GET", ME, headers={"Authorization": "Basic YTpi"}),
    anonymous("GET", ME, headers={"Accept": "application/xml"}),
    Step("GET", ME, headers={"Accept": "application/xml"}),
    Step("GET", ME),
    Step("HEAD", ME),
    Step("PUT", ME, {}),
    Step("POST", ME, {}),
    Step("PATCH", ME, {}),
    Step("PATCH", ME, {"full_name": "Grace"}),
    Step("PATCH", ME, {"full_name": None}),
    Step("PATCH", ME, {"email": "{email}"}),
    Step("PATCH", ME, {"email": "nobody"}),
    Step("PATCH", ME, {"password": "another-Passphrase-8"}),
    Step("PATCH", ME, {"unknown": True}),
    Step("GET", ADDRESSES),
    Step("POST", ADDRESSES, {}),
    Step("POST", ADDRESSES, ADDRESS),
    Step("POST", ADDRESSES, ADDRESS | {"country": "gb"}),
    Step("POST", ADDRESSES, ADDRESS | {"country": "XX"}),
    Step("POST", ADDRESSES, ADDRESS | {"line2": None}),
    Step("GET", ADDRESSES),
    Step("GET", ADDRESSES + "?page_size=1"),
    Step("GET", ADDRESSES + "?cursor=nonsense"),
    Step("DELETE", ADDRESSES),
    anonymous("GET", "/api/v1/users/1"),
    anonymous("GET", "/api/v1/nothing"),
    Step("DELETE", ME),
    Step("GET", ME),
]


def transcript(side: str, email: str) -> list[dict[str, Any]]:
    """The side's answers to the whole conversation, as a user of this email."""
    with connect(side) as api:
        account = sign_up(api, email)
        return [readable(send(api, step, account)) for step in CONVERSATION]


def send(api: httpx.Client, step: Step, account: Any) -> httpx.Response:
    headers = step.headers | (account.headers if step.signed_in else {})
    if step.raw is not None:
        headers = {"Content-Type": "application/json"} | headers
        return api.request(step.method, step.path, content=step.raw, headers=headers)
    return api.request(step.method, step.path, json=filled(step.body, account.email), headers=headers)


def filled(body: Any, email: str) -> Any:
    if isinstance(body, dict):
        return {name: filled(value, email) for name, value in body.items()}
    return email if body == "{email}" else body


def readable(answer: httpx.Response) -> dict[str, Any]:
    """Status, the headers that a client acts on, and the body with what is new each time masked."""
    is_json = "json" in answer.headers.get("content-type", "")
    return {
        "status": answer.status_code,
        "headers": {name: answer.headers.get(name) for name in HEADERS},
        "body": masked(answer.json(), str(answer.url.host)) if is_json and answer.content else answer.text,
    }


def masked(body: Any, host: str) -> Any:
    if isinstance(body, list):
        return [masked(item, host) for item in body]
    if isinstance(body, dict):
        return {
            name: type(value).__name__ if name in NEW_EACH_TIME else masked(value, host) for name, value in body.items()
        }
    if isinstance(body, str) and host in body and "cursor=" in body:
        return "a page's address"
    return body


@pytest.fixture(scope="module")
def transcripts() -> dict[str, list[dict[str, Any]]]:
    email = fresh_email()
    return {side: transcript(side, email) for side in ("monolith", "service")}


@pytest.mark.parametrize("number", range(len(CONVERSATION)), ids=lambda number: str(CONVERSATION[number]))
def test_both_sides_answer_the_same(transcripts, number):
    assert transcripts["service"][number] == transcripts["monolith"][number]


def test_no_answer_is_an_error_of_the_server(transcripts):
    statuses = {answer["status"] for answers in transcripts.values() for answer in answers}

    assert max(statuses) < 500
