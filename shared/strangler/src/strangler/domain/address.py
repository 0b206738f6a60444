"""Addresses that may bear a password; a message about a wrong address shows no part of it.

Note "never echoed": a parser cuts a password that has not been encoded in two, and takes one half for a host, a port or
a database. So no message about an address that cannot be used holds any part of it.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
# Names, numbers and IPv6; several are separated by commas.
_HOST = r"(?:\[[\w:.%]+\]|[\w.%-]*)(?::[0-9]*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_SHOWN = re.compile(rf"(?:[^@/]*@)?(?P<hosts>{_HOSTS.pattern})(?P<path>/[^@?#]*)?(?:[?#].*)?", re.DOTALL)
ENCODE = "write / ? # @ : and % of a password as %2F %3F %23 %40 %3A and %25"


class Address(str):
    """An address as it was given, which prints without its password; ``secret`` is all of it.

    To every library it is a text. Only the forms that people read (``str``, ``repr``, an f-string) leave out the user,
    the password and the parameters.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Address:
        # `str` of another Address would leave its password out.
        return super().__new__(cls, text.secret if isinstance(text, Address) else text)

    def __str__(self) -> str:
        return shown(self.secret)

    def __repr__(self) -> str:
        return f"<{shown(self.secret)}>"

    def __format__(self, specification: str) -> str:
        return format(shown(self.secret), specification)

    @property
    def secret(self) -> str:
        """The whole address, password and all."""
        return str.__str__(self)


def shown(text: str) -> str:
    """The address without user, password and parameters; only the scheme where its parts cannot be told apart."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return "an address that is no URL"
    rest = text[scheme.end() + 3 :]
    found = _SHOWN.fullmatch(rest)
    if found is None or ("@" in rest and "@" not in rest.partition("/")[0]):
        return f"{scheme[0]}://…"
    return f"{scheme[0]}://{found['hosts']}{found['path'] or ''}"


def flaw_of_web(text: str) -> str | None:
    """What is wrong with the address of a process or gateway; None if it is right."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return "is no address: http://host:port, or https://"
    if "@" in text:
        return "has a user or a password in it, which nothing here would send"
    if parts.query or parts.fragment:
        return "has a ? or a #, which no address of a server has"
    # A request keeps the path that it came with, through the gateway and beyond it.
    return "has a path, which no request would be sent with" if parts.path.strip("/") else None


def flaw_of_broker(text: str) -> str | None:
    """What is wrong with a broker's address; None if it is right."""
    for one in text.split(";"):
        parts = _split(one)
        if parts is None or not parts.scheme:
            return "is no address: amqp://user:password@host:port/vhost"
        if "@" in f"{parts.path}{parts.query}{parts.fragment}" or parts.fragment:
            return "has a password that is cut in two: an @ stands behind the first / ? or #"
    return None


def flaw_of_authority(text: str) -> str | None:
    """What is ambiguous in the URL of a database: a password that the parser would cut in two."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    user, at, rest = text[scheme.end() + 3 :].partition("@")
    if at and "/" in user:  # the parser looks for the user no further than the first /
        rest, where = text[scheme.end() + 3 :], text[scheme.end() + 3 :].partition("?")[0]
        return _CUT if "@" in where else None
    return _CUT if "@" in rest.partition("?")[0] else None


_CUT = "has a password that is cut in two: an @ or a / stands where none can"


def _split(text: str) -> SplitResult | None:
    """The parts of a URL; None if its host or port is not valid."""
    if not _SCHEME.match(text) or any(letter.isspace() for letter in text):
        return None
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        fits = _HOSTS.fullmatch(hosts) and (parts.port or 0) >= 0
    except ValueError:
        return None
    return parts if fits else None
