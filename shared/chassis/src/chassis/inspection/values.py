"""What an expression can stand for, as far as reading the source tells.

An expression has a tuple of these, one for each thing that it may be; an empty tuple says that nothing is known.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, TypeAlias

from django.db.models import Model

Guards: TypeAlias = frozenset[str]  # capabilities that are open here wherever this is; "*" is any
NOWHERE: Guards = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """An object of the running project itself: a module, a class, a function, a constant."""

    thing: Any
    under: Guards = NOWHERE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and other.thing is self.thing and other.under == self.under

    def __hash__(self) -> int:
        return hash((id(self.thing), self.under))


@dataclass(frozen=True, slots=True)
class Of:
    """Some instance of a class. ``given`` is what its maker said of its attributes."""

    cls: type
    given: tuple[tuple[str, Known], ...] = ()
    under: Guards = NOWHERE
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A manager, a query set, or the rows that a relation leads to.

    ``through`` is the table between, where the relation is of many to many; ``related`` says that it is a relation.
    """

    model: type[Model]
    manager: type | None = None
    through: type[Model] | None = None
    related: bool = False
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True)
class Request:
    """The request that is being answered; its method where one was asked for, and the class that says what it has."""

    method: str | None = None
    cls: type | None = None
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True)
class Bound:
    """A function with what it was looked up on, and the class that it is written in."""

    function: FunctionType
    owner: Value | None
    cls: type | None
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A function or lambda that is written inside another."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    frame: Any
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True)
class Above:
    """What ``super()`` is in a method of ``cls``."""

    owner: Value | None
    cls: type
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True)
class Several:
    """A tuple, a list, a set, or the values of a mapping."""

    items: tuple[Values, ...]
    under: Guards = NOWHERE


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer of ``owners.is_open``, or, if not ``positive``, its opposite."""

    capability: str
    positive: bool = True
    under: Guards = NOWHERE


Value: TypeAlias = Known | Of | Rows | Request | Bound | Local | Above | Several | Asked
Values: TypeAlias = tuple[Value, ...]
MOST = 12  # an expression that may be more things than this is not followed further


def union(*several: Values) -> Values:
    """All of these, each once."""
    return tuple(dict.fromkeys(value for values in several for value in values))[:MOST]


def guarded(values: Values, guards: Guards) -> Values:
    """The same values, which are to be had only where these capabilities are open."""
    return tuple(replace(value, under=value.under | guards) for value in values) if guards else values


def elements(values: Values) -> Values:
    """What iterating over these yields."""
    found: list[Values] = []
    for value in values:
        if isinstance(value, Rows):
            found.append((Of(value.model, under=value.under),))
        elif isinstance(value, Several):
            found += value.items
        elif isinstance(value, Known) and isinstance(value.thing, tuple | list | set | frozenset):
            found.append(tuple(Known(item) for item in value.thing))
    return union(*found)


def says_something(values: Values) -> bool:
    """Whether these tell more than an annotation would."""
    return any(_says(value) for value in values)


def _says(value: Value) -> bool:
    if isinstance(value, Several):
        return any(says_something(item) for item in value.items)
    if isinstance(value, Known):
        return value.thing is not None and not isinstance(value.thing, str | bytes | int | float)
    return not isinstance(value, Request)


def is_model(thing: object) -> bool:
    """Whether it is the class of a model."""
    return isinstance(thing, type) and issubclass(thing, Model) and hasattr(thing, "_meta")
