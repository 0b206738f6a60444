"""Asks a process whether it can send deletions to the owner of rows, and do them where it is the owner; and how it
hashes passwords, where the rows are the accounts.

The library in the process (`chassis`) answers, before the project does, and only to who has the secret of the move.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from strangler.domain.passwords import Passwords

PATH = "/.strangler/deletions"
CAPABILITY, SIGNATURE = "x-strangler-capability", "x-strangler-signature"
VALID_SECONDS = 60.0
TIMEOUT_SECONDS = 2.0

UNSHARED = "it has no secret of this move yet; `strangler verify` makes one"
UPGRADE = "its chassis does not know how, or the fence's middleware is missing"


def ask(address: str, capability: str, secret: str | None) -> str | None:
    """Why it cannot; None where it can."""
    if secret is None:
        return UNSHARED
    answered = _probe(address, capability, secret)
    return answered if isinstance(answered, str) else _judged(*answered)


def positions(address: str, capability: str, secret: str | None) -> str | None:
    """Why it can neither give positions nor read them; None where it can."""
    if secret is None:
        return UNSHARED
    answered = _probe(address, capability, secret)
    if isinstance(answered, str):
        return answered
    reason = _judged(*answered)
    if reason is None and _content(answered[1]).get("positions") is not True:
        return "its chassis does not know how; update it"
    return reason


def passwords(address: str, capability: str, secret: str | None) -> Passwords | None:
    """How it hashes passwords; None where it does not tell: the capability has no accounts, its chassis is older, or it
    does not answer."""
    answered = _probe(address, capability, secret) if secret is not None else ""
    told = _content(answered[1]) if not isinstance(answered, str) else {}
    found = told.get("passwords")
    if not isinstance(found, dict) or not isinstance(found.get("reads"), list) or not found.get("writes"):
        return None
    return Passwords(str(found["writes"]), frozenset(map(str, found["reads"])))


def _probe(address: str, capability: str, secret: str) -> tuple[int, bytes] | str:
    """Status and body of its answer, or why there is none."""
    body = json.dumps({"kind": "probe", "expires": time.time() + VALID_SECONDS}).encode()
    signature = hmac.new(secret.encode(), PATH.encode() + b"\n" + body, hashlib.sha256).hexdigest()
    headers = {CAPABILITY: capability, SIGNATURE: signature, "Content-Type": "application/json"}
    try:
        parts = urlsplit(address)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", PATH, body, headers)
            answer = connection.getresponse()
            said = answer.read(10_000)
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        return f"{address} does not answer: {error}"
    return answer.status, said


def _judged(status: int, said: bytes) -> str | None:
    told = _content(said)
    if status == 200 and told.get("deletions") is True:
        return None
    if status == 403 and str(told.get("detail", "")).startswith("Not accepted"):
        return f"{told['detail']} Its role has to own the moved tables"
    return f"{UPGRADE} (it answered {status})"


def _content(said: bytes) -> dict[str, Any]:
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
