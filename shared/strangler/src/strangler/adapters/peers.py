"""Asks a process whether it can send deletions to the owner of rows, and do them where it is the owner.

The library in the process (`chassis`) answers, before the project does, and only to who has the secret of the move.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

PATH = "/.strangler/deletions"
CAPABILITY, SIGNATURE = "x-strangler-capability", "x-strangler-signature"
VALID_SECONDS = 60.0
TIMEOUT_SECONDS = 2.0

UPGRADE = "its chassis does not know how, or the fence's middleware is missing"


def ask(address: str, capability: str, secret: str | None) -> str | None:
    """Why it cannot; None where it can."""
    if secret is None:
        return "it has no secret of this move yet; `strangler verify` makes one"
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
    return _judged(answer.status, said)


def _judged(status: int, said: bytes) -> str | None:
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = None
    if status == 200 and isinstance(told, dict) and told.get("deletions") is True:
        return None
    if status == 403 and isinstance(told, dict) and str(told.get("detail", "")).startswith("Not accepted"):
        return f"{told['detail']} Its role has to own the moved tables"
    return f"{UPGRADE} (it answered {status})"
