"""Reads what a function does, and what the functions do that it calls: which tables are written or read, and where.

Names are looked up in the running project, so that a call is followed to the function that it will reach. What is
known of a value is its class; branches are both taken, unless the request's method or the owner of a capability
decides between them. So what is found is written in the code, and what is not found may still be done: by a name that
is made at run time, or on an object whose class nobody tells.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import Any

from django.apps import apps

from chassis.inspection import sources
from chassis.inspection.values import NOWHERE, Guards, Known, Of, Rows, Value, Values, is_model, union

DEEPEST = 40  # calls of calls
MOST_FUNCTIONS = 60_000
_KNOWN = {"django", "chassis"}
# Of Django, what a project's views, forms and admins go through; the rest is known or writes nothing.
_DJANGO = ("django.views.generic", "django.contrib.", "django.forms.models", "django.views.decorators")


@dataclass(frozen=True, slots=True)
class Access:
    """A statement that writes or reads a table, in whichever way.

    ``file`` is empty as long as only code of others has been met on the way. ``under`` names capabilities that are open
    wherever it runs.
    """

    table: str
    how: str
    file: str = ""
    line: int = 0
    around: int = 0  # the line of the function
    sure: bool = True
    under: Guards = NOWHERE

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{sources.shown(self.file)}:{self.line}" if self.file else ""


@dataclass(frozen=True, slots=True)
class Blind:
    """A call in the project's own code that probably writes, of an object whose class nothing tells."""

    call: str
    file: str
    line: int
    around: int  # the line of the function

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{sources.shown(self.file)}:{self.line}"


@dataclass(slots=True)
class Summary:
    """What a function does, with all that it calls."""

    writes: dict[Access, tuple[str, ...]] = field(default_factory=dict)
    reads: dict[Access, tuple[str, ...]] = field(default_factory=dict)
    returns: Values = ()
    asks: str = ""  # where the database is asked for something
    durable: set[str] = field(default_factory=set)
    blind: set[Blind] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is known of a call's arguments."""

    positional: tuple[Values, ...] = ()
    keywords: tuple[tuple[str, Values], ...] = ()
    rest: bool = False  # whether there may be others, of which nothing is known

    def after(self, value: Value | None) -> Arguments:
        """The same behind ``self``."""
        first: Values = () if value is None else (value,)
        return Arguments((first, *self.positional), self.keywords, self.rest)

    def first(self) -> Values:
        """The first one, however it is given."""
        return self.positional[0] if self.positional else next((values for _, values in self.keywords), ())

    def all(self) -> Iterator[Values]:
        yield from self.positional
        yield from (values for _, values in self.keywords)


NO_ARGUMENTS = Arguments(rest=True)
_Key = tuple[Any, ...]


class Reader:
    """Reads functions, each once for the same classes of arguments.

    ``wanted`` says which tables are of interest; ``method`` is that of the request which is answered, if any.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self.wanted = wanted
        self.method: str | None = None
        # By what an attribute was set on, without where: a view of another model is another view.
        self.stored: dict[tuple[type, object, str], Values] = {}
        self.blind: set[Blind] = set()
        self.blind_elsewhere: set[str] = set()  # where the same is done in installed packages
        self.unreadable: set[str] = set()
        self.dynamic: set[str] = set()
        self.unknown_sql: set[str] = set()
        self.cut = 0
        self._done: dict[_Key, Summary] = {}
        self._doing: list[_Key] = []
        self._inner: list[ast.AST] = []
        self._packages = {config.name.partition(".")[0] for config in apps.get_app_configs()} | {"rest_framework"}
        self._packages -= _KNOWN

    @property
    def functions(self) -> int:
        """How many functions were read."""
        return len({key[1] for key in self._done})

    def run(self, function: FunctionType, arguments: Arguments = NO_ARGUMENTS, cls: type | None = None) -> Summary:
        """What a function does that is called so; nothing where it is code that writes no table of a project."""
        from chassis.inspection.frames import Frame

        if not self.follows(function, arguments):
            return Summary()
        node = sources.node(function)
        if node is None:
            if sources.is_own(function.__code__.co_filename):
                self.unreadable.add(sources.dotted(function))
            return Summary()
        key = (self.method, function, cls, arguments)
        if (known := self._done.get(key)) is not None:
            return known
        if key in self._doing:
            return Summary()
        if len(self._doing) >= DEEPEST or len(self._done) >= MOST_FUNCTIONS:
            self.cut += 1
            return Summary()
        self._doing.append(key)
        try:
            frame = Frame.of(self, function, cls)
            self._done[key] = frame.run(node, arguments, _defaults(function))
        finally:
            self._doing.pop()
        return self._done[key]

    def inside(self, node: ast.AST) -> bool:
        """Whether a function that is written inside another is being read, so that it calls itself."""
        return node in self._inner or len(self._doing) + len(self._inner) >= DEEPEST

    @contextmanager
    def reading(self, node: ast.AST) -> Iterator[None]:
        """Inside, the function of a function is being read."""
        self._inner.append(node)
        try:
            yield
        finally:
            self._inner.pop()

    def follows(self, function: FunctionType, arguments: Arguments = NO_ARGUMENTS) -> bool:
        """Whether the function is read: the project's own, of an app that writes tables for it, or of a package that is
        given the project's models or objects. Such a package need be no app: a serializer of its can be mixed in."""
        file, module = function.__code__.co_filename, getattr(function, "__module__", None) or ""
        if sources.is_own(file):
            return True
        if module.startswith(_DJANGO):
            return True
        if sources.is_standard(file):
            return False
        package = module.partition(".")[0]
        return package in self._packages or (package not in _KNOWN and _are_of_project(arguments))


def _are_of_project(arguments: Arguments) -> bool:
    return any(_is_of_project(value) for values in arguments.all() for value in values)


def _is_of_project(value: Value) -> bool:
    if isinstance(value, Rows):
        return True
    cls = value.cls if isinstance(value, Of) else value.thing if isinstance(value, Known) else None
    return isinstance(cls, type) and (is_model(cls) or sources.is_own(sources.file_of(cls)))


def layers(thing: Any) -> Iterator[FunctionType]:
    """The functions of a callable, from the outermost decorator inwards."""
    for _ in range(20):
        if isinstance(thing, MethodType):
            thing = thing.__func__
        if isinstance(thing, FunctionType):
            yield thing
        if isinstance(thing, functools.partial | functools.cached_property):
            thing = thing.func
        elif type(thing).__module__.startswith("celery.") and not isinstance(thing, type):
            thing = getattr(thing, "run", None)
        else:
            thing = getattr(thing, "__wrapped__", None)
        if thing is None:
            return


def merge(into: Summary, other: Summary, *, file: str, line: int, around: int, name: str, under: Guards) -> None:
    """Adds what a call does to what its caller does. ``file`` is empty in code that is not the project's own."""
    for mine, theirs in ((into.writes, other.writes), (into.reads, other.reads)):
        for access, via in theirs.items():
            own = access
            if not access.file and file:
                own = replace(access, file=file, line=line, around=around)
            if under:
                own = replace(own, under=own.under | under)
            mine.setdefault(own, (name, *via) if file and len(via) < DEEPEST else via)
    if other.asks and not into.asks:
        into.asks = other.asks
    into.durable |= other.durable
    into.blind |= other.blind


def together(*summaries: Summary) -> Summary:
    """What several functions do."""
    found = Summary()
    for each in summaries:
        for mine, theirs in ((found.writes, each.writes), (found.reads, each.reads)):
            for access, via in theirs.items():
                mine.setdefault(access, via)
        found.returns = union(found.returns, each.returns)
        found.asks = found.asks or each.asks
        found.durable |= each.durable
        found.blind |= each.blind
    return found


def module_of(name: str) -> Any:
    """A module of a package that the project has loaded, also one that it imports only where a function runs."""
    if name in sys.modules:
        return sys.modules[name]
    if name.partition(".")[0] not in sys.modules:
        return None
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001
        return None  # what a project's module raises is not ours; the name stays unknown


def _defaults(function: FunctionType) -> Mapping[str, object]:
    code = function.__code__
    names: Sequence[str] = code.co_varnames[: code.co_argcount]
    given = function.__defaults__ or ()
    positional = dict(zip(names[len(names) - len(given) :], given, strict=True))
    return {**positional, **(function.__kwdefaults__ or {})}
