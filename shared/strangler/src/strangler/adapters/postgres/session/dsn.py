"""The address of a database, read once; see the note "never echoed" in domain/address.py."""

from __future__ import annotations

import difflib
import re

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from strangler.domain.address import ENCODE, flaw_of_authority, shown

_HOST = re.compile(r"[\w.:%-]*|[/@].*")
_PORT = re.compile(r"[0-9]{0,5}")
_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
# Messages of libpq about an address that it could not parse; it quotes a part of the address after them.
_REASONS = {
    'missing "="': "a word in it has no =: put a value with blanks into single quotes, or write a URL",
    "unterminated quoted": "a quotation mark in it has no partner",
    "percent-encoded": "a % in it begins no code",
    "forbidden value": "it has %00 in it",
    "IPv6": "a [ in it has no ]",
    "unexpected character": "something stands behind its host that is neither a port nor a path",
    "separator": "one of its parameters has no value, or two",
}
_QUOTED = re.compile(r'(invalid [^"\n]*)"[^"\n]*"')
_KNOWN = ("password", "host", "hostaddr", "port", "user", "dbname", "sslmode", "options", "application_name", "service")


def flaw(text: str) -> tuple[str, str] | None:
    """What is wrong with the address of a database, and what to do; None if it is right. Neither text has a part of
    it."""
    ambiguous = flaw_of_authority(text)
    if ambiguous:
        return ambiguous, ENCODE
    try:
        parts = conninfo_to_dict(text)
        make_conninfo("", **parts)
    except (Error, ValueError) as error:
        return _reason(str(error)), "write postgresql://user:password@host:port/name; " + ENCODE
    if not parts:
        return "is no address of a database", "write postgresql://user:password@host:port/name"
    if not all(_HOST.fullmatch(one) for one in str(parts.get("host", "")).split(",")):
        return "has a host that is none", ENCODE
    if not all(_PORT.fullmatch(one) for one in str(parts.get("port", "")).split(",")):
        return "has a port that is no number", ENCODE
    return None


def describe(dsn: str) -> str:
    """The server and database of an address, without user and password; raises nothing."""
    try:
        parts = conninfo_to_dict(dsn)
    except (Error, ValueError):
        return shown(dsn)
    if flaw(dsn):
        return "a database whose address cannot be read"
    service = f"?service={parts['service']}" if "service" in parts else ""
    host = str(parts.get("host", ""))
    host = f"[{host}]" if ":" in host and "," not in host else host
    return f"postgresql://{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}{service}"


def without_secrets(words: str, dsn: str) -> str:
    """The words of libpq or a server, without anything that they can only have from the address."""
    wrong = flaw(dsn)
    if wrong:
        return f"its address {wrong[0]}"
    parts = conninfo_to_dict(dsn)
    for secret in (str(parts[name]) for name in _SECRETS if parts.get(name)):
        words = words.replace(secret, "…")
    return _QUOTED.sub(r"\1…", words).strip()


def _reason(words: str) -> str:
    option = re.search(r'invalid (?:URI query parameter|connection option)[^"]*"([^"]*)"', words)
    if option:
        near = difflib.get_close_matches(option[1], _KNOWN, n=1)
        return "has a parameter that PostgreSQL does not know" + (f": did you mean {near[0]}?" if near else "")
    known = (reason for part, reason in _REASONS.items() if part in words)
    return f"cannot be read: {next(known, 'it is neither a URL nor words of the form key=value')}"
