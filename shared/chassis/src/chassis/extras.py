"""Parts of the chassis that need more than Django and psycopg: each names the extra that brings it.

The extras are those of ``pyproject.toml``. What a move needs (ownership, references, process, health) needs none.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec

DISTRIBUTION = "strangler-chassis"


def missing(extra: str, error: ImportError) -> ImportError:
    """The error to raise where a part of the chassis was imported, and what it is built on is not installed."""
    return ImportError(
        f"{error.name or error} is not installed, and this part of the chassis needs it: install "
        f"{DISTRIBUTION}[{extra}]",
        name=error.name,
    )


def need(extra: str, *modules: str) -> None:
    """Raises ImportError unless all the modules can be imported."""
    for name in modules:
        if not has(name):
            raise missing(extra, ImportError(name, name=name))


@cache
def has(*modules: str) -> bool:
    """Whether all the modules are installed."""
    # kombu, once it is imported, has no spec that could be found.
    return all(sys.modules.get(name) is not None or find_spec(name) is not None for name in modules)
