"""What in settings may be a secret, as the chassis knows it too (`chassis.inspection.secrecy`)."""

from __future__ import annotations

import re

_WORDS = frozenset(
    {"SECRET", "SECRETS", "KEY", "KEYS", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "TOKEN", "TOKENS", "DSN"}
    | {"CREDENTIAL", "CREDENTIALS", "SALT", "SIGNATURE", "PRIVATE", "AUTHORIZATION", "CONNECTION", "APIKEY"}
)
_OPEN = frozenset(
    {"PASSWORD_HASHERS", "PASSWORD_RESET_TIMEOUT", "PASSWORD_ITERATIONS", "AUTH_PASSWORD_VALIDATORS"}
    | {"CSRF_COOKIE_NAME", "CSRF_HEADER_NAME", "CACHE_MIDDLEWARE_KEY_PREFIX", "KEY_PREFIX", "KEY_FUNCTION"}
    | {"JWKS", "TOKEN_MODEL", "REST_AUTH_TOKEN_MODEL", "TOKEN_LIMIT_PER_USER", "PUBLIC_KEY"}
)
_SETTLED = re.compile(r"_(NAME|URL|URLS|TIMEOUT|AGE|LIFETIME|TTL|PREFIX|HEADER|CLASS|CLASSES|MODEL|LENGTH|ALGORITHM)$")
_SHOWN = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*@|-----BEGIN [A-Z ]*PRIVATE KEY-----", re.IGNORECASE)
# A rate, or the dotted name of a class: neither is a secret, whatever it is called.
_HARMLESS = re.compile(r"\d+/[a-z]+|[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*\.[A-Z][A-Za-z0-9]*")
_WORD = re.compile(r"[A-Z0-9]+")


def is_told(name: str) -> bool:
    """Whether the name is one of a secret's."""
    upper = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().replace("-", "_")
    if upper in _OPEN or _SETTLED.search(upper):
        return False
    return not _WORDS.isdisjoint(_WORD.findall(upper))


def is_shown(value: str) -> bool:
    """Whether the value is an address with an account, or a private key."""
    return bool(_SHOWN.search(value))


def is_harmless(value: str) -> bool:
    """Whether the value is none, whatever it is called."""
    return not value or bool(_HARMLESS.fullmatch(value))
