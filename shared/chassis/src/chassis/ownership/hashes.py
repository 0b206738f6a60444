"""How this side hashes passwords, for the tool: it compares the two sides before the accounts change hands.

A side that cannot read what the other has written would refuse every password, and one that hashes in another way would
hash each password anew at its next login.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model, hashers
from django.core.exceptions import ImproperlyConfigured

from chassis.ownership import owners

# What hashers call what a hash costs.
COSTS = ("iterations", "rounds", "work_factor", "block_size", "time_cost", "memory_cost", "parallelism")


def told(capability: str) -> dict[str, Any]:
    """``writes`` and ``reads``, where the capability has the accounts; otherwise nothing."""
    state = owners.sides().get(capability)
    if state is None or not apps.is_installed("django.contrib.auth"):
        return {}
    with suppress(ImproperlyConfigured, LookupError):
        if state.holds(get_user_model()._meta.db_table):
            return {"passwords": {"writes": _described(hashers.get_hasher()), "reads": _readable()}}
    return {}


def _readable() -> list[str]:
    return [str(hasher.algorithm) for hasher in hashers.get_hashers() if _has_library(hasher)]


def _has_library(hasher: Any) -> bool:
    if not hasher.library:
        return True
    try:
        hasher._load_library()
    except ValueError:
        return False
    return True


def _described(hasher: Any) -> str:
    costs = {name: getattr(hasher, name) for name in COSTS if isinstance(getattr(hasher, name, None), int)}
    return " ".join([str(hasher.algorithm), *(f"{name}={cost}" for name, cost in costs.items())])
