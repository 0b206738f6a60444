"""Requests between two sides, signed with a secret that both have.

The signature covers the whole body and what it is for; the body names when it expires. For a move the tool writes one
secret into ``strangler.secret`` of each database. Only the role that owns the moved tables may read it, so a project
needs no key files.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from chassis import agreement

# The machines that sign and those that verify have clocks which differ a little.
LEEWAY_SECONDS = 5.0


class UnsealedError(Exception):
    """The request does not come from the other side; the text says why, and no secret."""


def seal(secret: str, content: Mapping[str, Any], purpose: str = agreement.DELETIONS) -> tuple[bytes, str]:
    """The body and its signature, valid from now on for a minute, and for this purpose only."""
    body = json.dumps({**content, "expires": time.time() + agreement.SEALED_SECONDS}).encode()
    return body, _signature(secret, body, purpose)


def unseal(capability: str, body: bytes, signature: str) -> Mapping[str, Any]:
    """The content of a body that the other side of the capability's move has signed.

    Raises:
        UnsealedError: it has not, or that is too long ago.
    """
    secret = secret_of(capability)
    if secret is None:
        raise UnsealedError("no secret of such a move can be read here")
    return opened([secret], body, signature, agreement.DELETIONS)


def opened(secrets: Iterable[str], body: bytes, signature: str, purpose: str) -> Mapping[str, Any]:
    """The content of a body that was signed for this purpose with one of the secrets.

    Raises:
        UnsealedError: it was not, or that is too long ago.
    """
    given = signature.encode(errors="replace")
    if not any(hmac.compare_digest(_signature(secret, body, purpose).encode(), given) for secret in secrets):
        raise UnsealedError("the signature is not that of the other side")
    content: dict[str, Any] = json.loads(body)
    left = float(content["expires"]) - time.time()
    if not -LEEWAY_SECONDS <= left <= agreement.SEALED_SECONDS + LEEWAY_SECONDS:
        raise UnsealedError("it has expired, or the clocks of the two sides differ")
    return content


def secret_of(capability: str, using: str = DEFAULT_DB_ALIAS) -> str | None:
    """The secret of the capability's move; None where there is none, or this role may not read it."""
    with connections[using].cursor() as cursor:
        cursor.execute(agreement.MAY_SIGN)
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(agreement.SIGNED_WITH, [capability])
        row = cursor.fetchone()
        return str(row[0]) if row else None


def _signature(secret: str, body: bytes, purpose: str) -> str:
    return hmac.new(secret.encode(), purpose.encode() + b"\n" + body, hashlib.sha256).hexdigest()
