"""Keys that another service publishes, fetched from ``CHASSIS_JWKS_URL`` and kept.

Note "no request waits for a refresh": authentication runs inside the transaction of a request. So a separate thread
fetches aged keys anew, and the old ones are used meanwhile. A request waits for the network only where it could not be
answered otherwise: at a process's first token, and for a key id that has never been seen.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping

from chassis.extras import missing
from chassis.identity import keys
from chassis.process import tls
from chassis.process.logs import Complaint

try:
    import httpx
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from rest_framework.exceptions import APIException
except ImportError as error:
    raise missing("identity", error) from error

logger = logging.getLogger("chassis.identity.jwks")

PAUSE_SECONDS = 30.0
COLD_PAUSE_SECONDS = 1.0
TIMEOUT = httpx.Timeout(2.0)


class KeysUnavailable(APIException):
    """503: whether the token is genuine cannot be told now; the client has done nothing wrong."""

    status_code = 503
    default_detail = "The keys that verify tokens cannot be had at the moment; try again."
    default_code = "keys_unavailable"
    wait = 2  # seconds; REST framework makes the Retry-After header of it


class SourceError(Exception):
    """The source does not answer with a key set that can be used."""


class RemoteKeys:
    """The key set behind an address; safe to use from many threads.

    A set younger than ``age`` is used as it is. An older one is used while it is fetched anew, and while the source is
    down, until it was fetched ``kept`` seconds ago: a key that was withdrawn meanwhile is not good for ever. A key id
    that is not in the set causes a fetch, at most once per ``pause`` seconds, however many ask.
    """

    def __init__(
        self,
        url: str,
        *,
        age: float,
        kept: float = math.inf,
        pause: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._age = age
        self._kept = kept
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str, Ed25519PublicKey] = {}
        self._fetched = float("-inf")
        self._asked = float("-inf")
        self._failing = False
        self._complaint = Complaint(logger, "jwks_unavailable")

    def key(self, kid: str) -> Ed25519PublicKey:
        """The key with this id.

        Raises:
            KeyError: the source has no such key.
            KeysUnavailable: the source is down, and no such key is known from before, or from too long ago.
        """
        key = self._keys.get(kid)
        if key is not None and not self._has_nothing():
            if self._clock() - self._fetched >= self._age:
                self._refresh_aside()
            return key
        self._refresh()
        if self._has_nothing() or (kid not in self._keys and self._failing):
            raise KeysUnavailable
        return self._keys[kid]

    def warm(self) -> None:
        """Fetches the keys before the first token comes. While the source is away, a thread goes on asking."""
        if not self._keys:
            self._refresh()
        if not self._keys:
            threading.Thread(target=self._warm_up, name="chassis.identity.jwks", daemon=True).start()

    def _warm_up(self) -> None:
        while not self._keys:
            time.sleep(COLD_PAUSE_SECONDS)
            self._refresh()

    def _refresh_aside(self) -> None:
        if self._due() and not self._lock.locked():
            threading.Thread(target=self._refresh, name="chassis.identity.jwks", daemon=True).start()

    def _refresh(self) -> None:
        """Fetches unless that has just been done; requests that come meanwhile wait for the same fetch."""
        with self._lock:
            if not self._due():
                return
            self._asked = self._clock()
            try:
                self._keys = fetch(self.url)
            except SourceError as error:
                self._failing = True
                self._complaint.make(str(error), url=self.url)
            else:
                self._failing = False
                self._complaint.over()
                self._fetched = self._asked

    def _has_nothing(self) -> bool:
        """Whether no set has been had that may still be used."""
        return self._clock() - self._fetched >= self._kept or not self._keys

    def _due(self) -> bool:
        pause = min(self._pause, COLD_PAUSE_SECONDS) if self._has_nothing() else self._pause
        return self._clock() - self._asked >= pause


def fetch(url: str) -> dict[str, Ed25519PublicKey]:
    """The keys of our kind at the address, by id. Raises SourceError, also where there is no such key."""
    try:
        members = httpx.get(url, timeout=TIMEOUT, verify=tls.trusted(url)).raise_for_status().json()["keys"]
        found = {str(member["kid"]): keys.from_web_key(member) for member in members if "kid" in member}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{type(error).__name__}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"no JSON Web Key Set: {error!r}") from error
    usable = {kid: key for kid, key in found.items() if key is not None}
    if not usable:
        raise SourceError("the key set holds no Ed25519 key for signatures")
    return usable


@functools.lru_cache(maxsize=8)
def source(url: str, age: float, kept: float) -> RemoteKeys:
    """The process's one copy of a key set."""
    return RemoteKeys(url, age=age, kept=kept, pause=min(age, PAUSE_SECONDS))
