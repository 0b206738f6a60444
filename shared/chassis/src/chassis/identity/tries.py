"""How often the password of an account may be tried in vain, by whomever.

A try counts before its password is hashed, so that tries at the same time count like tries one after the other. It is
taken back where the password was right, or was not looked at. All processes of a side count together, and the admin's
login counts with the project's other ones.

Note "whether it exists": nothing here looks whether there is such an account. The same is counted and answered for any
name, and the same number of statements is run.

Note "locked out": who tries an account all the time uses its tries up, and its owner could never log in. So a client
from which the account was logged into within the last month has tries of its own, and has them all again when it gets
in. The owner is kept out only elsewhere, and only while somebody goes on trying.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest

from chassis import settings
from chassis.database import counts
from chassis.process import clients

PERIOD_SECONDS = 15 * 60
REMEMBERED_SECONDS = 30 * 24 * 3600


class TooManyTries(Exception):  # noqa: N818  what is told to a client, not a fault
    """The password is not looked at; ``wait`` seconds later it would be."""

    def __init__(self, wait: float) -> None:
        super().__init__("Too many tries.")
        self.wait = wait


class Try:
    """One try. Set ``right`` when the password has been looked at."""

    right: bool | None = None


@contextmanager
def begun(account: str, client: str, *, per_client: int | None = None) -> Iterator[Try]:
    """A try of the account's password; the caller looks at it inside, and sets ``right``.

    With ``per_client``, so many tries of a client may be in vain, whatever accounts it names.

    Raises TooManyTries.
    """
    place, name = counts.shared(), spelled(account)
    remembered, here = _key("from", name, client), _key("account", name, client)
    limits = {_key("client", client): per_client} if per_client is not None else {}
    limits[here if place.has(remembered) else _key("account", name)] = settings.login_tries()
    counted: list[str] = []
    for key, limit in limits.items():
        wait = place.count(key, limit=limit, seconds=PERIOD_SECONDS)
        if wait is not None:
            _take_back(place, counted)
            raise TooManyTries(wait)
        counted.append(key)
    found = Try()
    try:
        yield found
    finally:
        if found.right is not False:
            _take_back(place, counted)
    if found.right:
        place.forget(here)
        place.count(remembered, limit=1, seconds=REMEMBERED_SECONDS)


@contextmanager
def throttled(request: HttpRequest, account: str) -> Iterator[Try]:
    """`begun` for views of REST framework: too many tries are answered with 429 and ``Retry-After``."""
    from rest_framework.exceptions import Throttled

    try:
        with begun(account, clients.of(request)) as found:
            yield found
    except TooManyTries as error:
        raise Throttled(wait=error.wait) from None


def spelled(account: str) -> str:
    """The same text for all spellings of a name that a database may take for the same, in whatever language it compares
    capitals. Accounts whose names differ in accents only have their tries together."""
    plain = unicodedata.normalize("NFKD", account.strip()).upper().casefold()
    return "".join(each for each in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(each))


def _key(*parts: str) -> str:
    return f"try-{hashlib.sha256(chr(0).join(parts).encode(errors='replace')).hexdigest()}"


def _take_back(place: counts.Counts, keys: list[str]) -> None:
    for key in keys:
        place.take_back(key)
