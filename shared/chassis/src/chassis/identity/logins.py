"""The admin's login, with a limit to how often it can be tried.

Each process counts for itself, in its own memory, so nothing that others do removes a count. A try counts before its
password is hashed, so that tries at the same time count like tries one after the other. It is taken back where the
password was right or was not looked at. A person who is kept out waits until nothing has failed for the whole of
PERIOD_SECONDS.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from chassis.process import about, clients

PERIOD_SECONDS = 15 * 60
TRIES_PER_ACCOUNT = 10
TRIES_PER_ADDRESS = 30
# More than a process can hash in PERIOD_SECONDS: a new count costs a hash. Some 20 MB.
MOST_NAMES = 1 << 16

logger = logging.getLogger(__name__)


class Tries:
    """Counts by key, each forgotten when it has not grown for PERIOD_SECONDS. There are at most ``most``, and none of
    them makes room for a new one.
    """

    def __init__(self, most: int = MOST_NAMES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        # The count that has grown last stands last.
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def begin(self, limits: Mapping[str, int]) -> bool:
        """Counts one try for each key; counts none where one key has reached its limit or cannot be counted."""
        with self._lock:
            now = self._clock()
            while self._counts and now - next(iter(self._counts.values()))[1] > PERIOD_SECONDS:
                self._counts.popitem(last=False)
            new = sum(key not in self._counts for key in limits)
            if len(self._counts) + new > self._most or any(self._of(key) >= most for key, most in limits.items()):
                return False
            for key in limits:
                self._counts[key] = (self._of(key) + 1, now)
                self._counts.move_to_end(key)
            return True

    def take_back(self, keys: Collection[str]) -> None:
        """Takes one try back from each key."""
        with self._lock:
            for key in keys:
                count, last = self._counts.get(key, (0, 0.0))
                if count > 1:
                    self._counts[key] = (count - 1, last)
                else:
                    self._counts.pop(key, None)

    def forget(self, key: str) -> None:
        """Forgets all tries of the key."""
        with self._lock:
            self._counts.pop(key, None)

    def clear(self) -> None:
        """Forgets all tries of all keys."""
        with self._lock:
            self._counts.clear()

    def _of(self, key: str) -> int:
        return self._counts.get(key, (0, 0.0))[0]


process = Tries()


class LoginForm(AdminAuthenticationForm):
    """Django's form, with limits to the tries per account and per address."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError."""
        account, address = str(self.cleaned_data.get("username") or "").casefold(), clients.of(self.request)
        keys = _key("account", account), _key("address", address)
        if not process.begin(dict(zip(keys, (TRIES_PER_ACCOUNT, TRIES_PER_ADDRESS), strict=True))):
            # By their pseudonyms one sees whether it is one account, or one client.
            told = {"account": about.pseudonym(account), "client": about.pseudonym(address)}
            logger.warning("login_refused", extra=told)
            raise ValidationError("Too many tries. Wait a quarter of an hour.", code="throttled")
        try:
            cleaned = super().clean()
        except ValidationError:
            raise
        except BaseException:
            process.take_back(keys)
            raise
        process.take_back(keys)
        # Without a name or a password Django looks at no account, so nothing has been tried.
        if self.get_user() is not None:
            process.forget(keys[0])
        return cleaned


def _key(kind: str, of: str) -> str:
    return f"{kind}-{hashlib.sha256(of.encode(errors='replace')).hexdigest()}"
