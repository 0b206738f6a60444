"""Which functions are connected to a signal, in every version of Django."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ReferenceType

from django.apps import apps
from django.db.models import Model
from django.dispatch import Signal


def receivers_of(signal: Signal) -> Iterator[tuple[Callable[..., Any], int]]:
    """Each receiver that is still there, and the identity of the sender that it is connected to (that of None: all).

    The entries have had more and more parts: the key comes first, then the receiver.
    """
    for entry in list(signal.receivers):
        key, receiver = entry[0], entry[1]
        if isinstance(receiver, ReferenceType):
            receiver = receiver()
        if receiver is not None:
            yield receiver, key[1]


def senders(identity: int) -> list[type[Model]] | None:
    """The models that a receiver with this sender's identity hears; None for all senders."""
    if identity == id(None):
        return None
    return [model for model in apps.get_models(include_auto_created=True) if id(model) == identity]


def signals() -> Iterator[tuple[str, Signal]]:
    """All signals of the modules that are loaded, with their names, each once."""
    seen: set[int] = set()
    for module in sorted(sys.modules):
        for name, thing in list(vars(sys.modules[module]).items() if hasattr(sys.modules[module], "__dict__") else ()):
            # Its real type: to ask a lazy object for its class can make it.
            if issubclass(type(thing), Signal) and id(thing) not in seen:
                seen.add(id(thing))
                yield name, thing
