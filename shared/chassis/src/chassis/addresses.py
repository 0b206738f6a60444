"""Addresses that bear a password, looked at before anything else parses them.

Note "never echoed": a parser cuts a password that has not been encoded in two. One half is then taken for a host, a
port or a database, and printed. So an error of this module shows no part of the address that it refuses.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import make_conninfo

ENCODE = "write / ? # @ : and % of a password as %2F %3F %23 %40 %3A and %25"
CUT = f"has a password that is cut in two: {ENCODE}"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = r"(?:\[[\w:.%]+\]|[\w.%-]*)(?::[0-9]*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
# Parameters of Django's backend and of psycopg's `connect`, besides those that libpq knows.
_OWN = {
    "pool",
    "isolation_level",
    "server_side_binding",
    "assume_role",
    "prepare_threshold",
    "cursor_factory",
    "context",
}


def check_database(name: str, text: str) -> None:
    """Raises ImproperlyConfigured, naming the variable, unless it is ``postgresql://user:password@host:port/name``."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("postgres", "postgresql"):
        raise _refused(name, f"names no PostgreSQL: write postgresql://user:password@host:port/name; {ENCODE}")
    if parts.fragment or "@" in parts.path or ("@" in parts.query and "@" not in parts.netloc):
        raise _refused(name, CUT)
    if "%00" in text:
        raise _refused(name, "has %00 in it, which no name and no password can hold")
    if "," in parts.netloc.rpartition("@")[2]:
        raise _refused(name, "names several hosts, of which Django takes one: write ?host=h1,h2&port=5432,5432")


def check_options(name: str, options: dict[str, object]) -> None:
    """Raises ImproperlyConfigured for a parameter that PostgreSQL's library does not know."""
    for option, value in options.items():
        if option in _OWN:
            continue
        try:
            make_conninfo("", **{option: str(value)})
        except (psycopg.Error, ValueError):
            raise _refused(
                name, "has a parameter that PostgreSQL does not know: see what stands behind its ?"
            ) from None


def check_broker(name: str, text: str) -> None:
    """Raises ImproperlyConfigured, naming the variable, unless it is ``scheme://user:password@host:port/…``."""
    for one in text.split(";"):
        parts = _split(one)
        if parts is None:
            raise _refused(name, f"is no amqp://user:password@host:port/vhost; {ENCODE}")
        if parts.fragment or "@" in f"{parts.path}{parts.query}":
            raise _refused(name, CUT)


def check_web(name: str, text: str) -> None:
    """Raises ImproperlyConfigured, naming the variable, unless it is ``http://host:port``."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "@" in text:
        raise _refused(name, "is no http://host:port; a user or a password has no place in it")
    if parts.query or parts.fragment:
        raise _refused(name, "has a ? or a #, which no address of a server has")


def _refused(name: str, what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} {what}")


def _split(text: str) -> SplitResult | None:
    """The parts of a URL; None where its hosts or ports cannot be hosts or ports."""
    if not _SCHEME.match(text):
        return None
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        several = "," in hosts
        fits = _HOSTS.fullmatch(hosts) and (several or parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if fits else None
