"""The chassis' own settings, each with the value it has where Django's settings are silent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from django.conf import settings


def hold_seconds() -> float:
    """``CHASSIS_HOLD_SECONDS``: how long a request waits for an owner at most."""
    return float(_setting("CHASSIS_HOLD_SECONDS", 5.0))


def hold_limit() -> int:
    """``CHASSIS_HOLD_LIMIT``: how many requests of a process may wait; half of its threads."""
    return int(_setting("CHASSIS_HOLD_LIMIT", max(1, int(os.environ.get("WEB_THREADS", "2")) // 2)))


def bounce_limit() -> int:
    """``CHASSIS_BOUNCE_LIMIT``: the largest body in bytes that the gateway can repeat; larger ones are forwarded."""
    return int(_setting("CHASSIS_BOUNCE_LIMIT", 900_000))


def seam_wait() -> float:
    """``CHASSIS_SEAM_WAIT``: seconds for which a row that its owner has is waited for."""
    return float(_setting("CHASSIS_SEAM_WAIT", 10.0))


def owner_paths() -> Mapping[str, str]:
    """``CHASSIS_OWNER_PATHS``: by model label, what to GET from the owner to learn whether a row is there.

    The request's own Authorization header goes with it, so the path is one that answers for the caller.
    """
    paths: Mapping[str, str] = _setting("CHASSIS_OWNER_PATHS", {})
    return paths


def _setting(name: str, default: Any) -> Any:
    return getattr(settings, name, default)
