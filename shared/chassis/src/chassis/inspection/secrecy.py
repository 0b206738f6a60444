"""Which values of a project's settings nobody else may read. It errs on the side of hiding."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = frozenset(
    {"SECRET", "SECRETS", "KEY", "KEYS", "PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "TOKEN", "TOKENS", "DSN"}
    | {"CREDENTIAL", "CREDENTIALS", "SALT", "SIGNATURE", "PRIVATE", "AUTHORIZATION", "CONNECTION", "APIKEY"}
)
# Names of Django and of packages which only sound like one.
_OPEN = frozenset(
    {"PASSWORD_HASHERS", "PASSWORD_RESET_TIMEOUT", "PASSWORD_ITERATIONS", "AUTH_PASSWORD_VALIDATORS"}
    | {"CSRF_COOKIE_NAME", "CSRF_HEADER_NAME", "CACHE_MIDDLEWARE_KEY_PREFIX", "KEY_PREFIX", "KEY_FUNCTION"}
    | {"JWKS", "TOKEN_MODEL", "REST_AUTH_TOKEN_MODEL", "TOKEN_LIMIT_PER_USER", "PUBLIC_KEY"}
)
_SETTLED = re.compile(r"_(NAME|URL|URLS|TIMEOUT|AGE|LIFETIME|TTL|PREFIX|HEADER|CLASS|CLASSES|MODEL|LENGTH|ALGORITHM)$")
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*@", re.IGNORECASE)
_KEY_FILE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# A rate, or the dotted name of a class: neither is a secret, whatever it is called.
_HARMLESS = re.compile(r"\d+/[a-z]+|[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*\.[A-Z][A-Za-z0-9]*")
_WORD = re.compile(r"[A-Z0-9]+")


def is_secret(name: str, value: object) -> bool:
    """Whether the value of a setting, or of a key in it, is a secret: by its name, or since it is an address with an
    account or a private key. Switches, numbers and things that are no text are none."""
    if not isinstance(value, str | bytes) or not value:
        return isinstance(value, list | tuple | set) and bool(value) and _is_told(name) and _has_text(value)
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    if _HARMLESS.fullmatch(text):
        return False
    return _is_told(name) or bool(_ADDRESS.match(text) or _KEY_FILE.search(text))


def _is_told(name: str) -> bool:
    upper = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().replace("-", "_")
    if upper in _OPEN or _SETTLED.search(upper):
        return False
    return not _WORDS.isdisjoint(_WORD.findall(upper))


def _has_text(values: Iterable[object]) -> bool:
    return any(isinstance(one, str | bytes) and not _HARMLESS.fullmatch(str(one)) for one in values)
