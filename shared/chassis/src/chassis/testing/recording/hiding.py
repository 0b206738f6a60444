"""What is never written down: passwords, tokens, cookies, and what looks like one of them."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
SECRET = re.compile(
    r"passw|passphrase|secret|token|api_?key|csrf|session|otp|cvv|card_?number|iban|signature|credential|authorization"
    r"|^(access|refresh|key|pin|jwt)$",
    re.IGNORECASE,
)
# Three parts of a signed token, or 20 letters and digits in a row, some of each: a path that has one is masked in the
# gateway's log, too.
TOKEN = re.compile(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{20,}")
LONGEST = 200


def hidden(value: Any, name: str = "") -> Any:
    """The value without what is secret by its name or its look; of a list only the first, of a text the beginning."""
    if isinstance(value, dict):
        return {str(key): hidden(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(each, name) for each in value[:1]]
    if value is None or isinstance(value, bool):
        return value
    if SECRET.search(name) or (isinstance(value, str) and TOKEN.search(value)):
        return MASK
    return value[:LONGEST] if isinstance(value, str) else value


def leaf(name: str, value: Any) -> Any:
    """A value that was sent, as `hidden`; one that is secret is told by its name."""
    return {"$secret": name} if value not in ("", None) and hidden(value, name) == MASK else hidden(value, name)
