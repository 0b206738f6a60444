"""The project's URL patterns, each with the view behind it and with paths that it answers."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve
from django.urls.resolvers import LocalePrefixPattern, RoutePattern
from django.utils import translation
from django.utils.regex_helper import normalize

from chassis.inspection.routes import METHODS

# What a variable of a path may be filled with; the first that the project's own patterns take is used.
SAMPLES = (
    *("7", "sample", "0b36b1c5-2f0c-4d4e-9c0f-0a4bd7c1a001", "2024", "07", "en", "a/b", "a-b", "a_b", "A", "abcdef"),
    *("json", ".json", "a@b.example", "a1" * 20, "a1" * 16, "a1" * 32, "2024-01-07"),
)
# Each language has paths of its own up to so many; beyond, one stands for all that have a prefix.
MOST_LANGUAGES = 6
_SAFE = {"GET", "HEAD", "OPTIONS"}
_VARIABLE = re.compile(r"<(?:[^<>:]+:)?[^<>]+>")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL pattern: the view, the template of its paths with ``{}`` for variables, and one path that leads there.

    Without a ``sample`` no path is known that leads there. ``language`` is the one in which the path is so.
    """

    view: Any
    template: str
    sample: str | None
    name: str
    of_admin: bool = False
    language: str = ""

    @property
    def methods(self) -> Sequence[str]:
        """The methods that the view answers, as far as it says so."""
        return methods_of(self.view)

    @property
    def path(self) -> str:
        """A path of its template, whether it leads there or not."""
        return self.sample if self.sample is not None else self.template.replace("{}", SAMPLES[0])

    @property
    def shown(self) -> str:
        """The path as people read it."""
        return self.template.replace("{}", "{…}")


def addresses(unknown: list[str]) -> Iterator[Address]:
    """All of the project's, each in every language that changes its path; what cannot be understood, or is not looked
    at, is named in ``unknown``.

    Raises whatever the project's own modules raise when they are imported.
    """
    seen: set[tuple[str, int]] = set()
    looked_at = languages()
    for number, code in enumerate(looked_at):
        with translation.override(code):
            unclear = [] if number else unknown
            for one in _walk(get_resolver().url_patterns, "/", (), "", unclear, of_admin=False):
                if (one.template, id(one.view)) not in seen:
                    seen.add((one.template, id(one.view)))
                    yield dataclasses.replace(one, language=code)
    prefixed, _ = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if prefixed and settings.USE_I18N and (left := len(settings.LANGUAGES) - len(looked_at)) > 0:
        unknown.append(f"paths in {left} more languages of settings.LANGUAGES, taken to be as in {looked_at[-1]}")


def languages() -> Sequence[str]:
    """The languages in which paths are looked at: the default one first, and others, where paths can differ by them."""
    default = settings.LANGUAGE_CODE
    if not settings.USE_I18N:
        return [default]
    others = [code for code, _ in settings.LANGUAGES if code.lower() != default.lower()]
    return [default, *(others[:1] if len(settings.LANGUAGES) > MOST_LANGUAGES else others)]


def class_of(view: Any) -> type | None:
    """The class of a view that was made from one."""
    cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return cls if isinstance(cls, type) else None


def actions_of(view: Any) -> dict[str, str]:
    """By method, the name of the method of the view's class that answers it."""
    cls = class_of(view)
    actions = getattr(view, "actions", None)
    if cls is None:
        return {}
    names = [name.lower() for name in getattr(cls, "http_method_names", [])]
    if isinstance(actions, dict):
        return {method.upper(): name for method, name in actions.items() if method.lower() in names}
    return {name.upper(): name for name in names if hasattr(cls, name) and name not in ("options", "trace")}


def methods_of(view: Any) -> Sequence[str]:
    """The methods that a view answers, as far as it says so."""
    cls = class_of(view)
    allowed = next((listed for layer in _chain(view) if (listed := _listed(layer)) is not None), None)
    if cls is not None:
        own = actions_of(view)
        around = _listed(getattr(cls, "dispatch", None))
        found = [method for method in METHODS if method in own or (method == "HEAD" and "GET" in own)]
        found = [*found, "OPTIONS"] if "OPTIONS" not in found else found
        return [method for method in found if all(each is None or method in each for each in (allowed, around))]
    return METHODS if allowed is None else [method for method in METHODS if method in allowed]


def _listed(layer: Any) -> Sequence[str] | None:
    """The methods that `require_POST` and the like let through to what they decorate; also by `method_decorator`."""
    cells = _cells(layer)
    if "request_method_list" in cells:
        return list(cells["request_method_list"])
    if "decorators" not in cells or "method" not in cells:
        return None
    several = cells["decorators"] if isinstance(cells["decorators"], Iterable) else [cells["decorators"]]
    inner = [list(cell["request_method_list"]) for each in several if "request_method_list" in (cell := _cells(each))]
    deeper = _listed(cells["method"])
    found = [*inner, *([deeper] if deeper is not None else [])]
    return [method for method in METHODS if all(method in each for each in found)] if found else None


def _cells(function: Any) -> dict[str, Any]:
    """By name the variables of enclosing functions that a function has."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or cells is None:
        return {}
    found = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        with suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    return found


def named(view: Any) -> Any:
    """What stands for the view in messages: its class, or the innermost function."""
    if (cls := class_of(view)) is not None:
        return getattr(cls, "func", cls)
    return list(_chain(view))[-1]


def _chain(view: Any) -> Iterable[Any]:
    for _ in range(20):
        yield view
        view = view.func if isinstance(view, functools.partial) else getattr(view, "__wrapped__", None)
        if view is None:
            return


def _walk(
    patterns: Sequence[Any], template: str, words: Sequence[str], space: str, unknown: list[str], *, of_admin: bool
) -> Iterator[Address]:
    """``words``: what stands in the expressions of the variables so far, one of which may be all that they take."""
    for pattern in patterns:
        try:
            found = pieces(pattern.pattern)
        except (ValueError, NotImplementedError, AttributeError) as error:
            unknown.append(f"the URL pattern {pattern.pattern}: {error}")
            continue
        known = (*words, *_words(pattern.pattern))
        for piece in found:
            path = template + piece
            if isinstance(pattern, URLResolver):
                name = f"{space}{pattern.namespace}:" if pattern.namespace else space
                inside = of_admin or pattern.app_name == "admin"
                yield from _walk(pattern.url_patterns, path, known, name, unknown, of_admin=inside)
            elif isinstance(pattern, URLPattern):
                sample = _sample(path, known, pattern.callback)
                if sample is None and not of_admin:
                    unknown.append(f"the URL pattern {path}: no path is known that leads to it")
                yield Address(pattern.callback, path, sample, f"{space}{pattern.name or ''}", of_admin)


def pieces(pattern: Any) -> Sequence[str]:
    """The texts that a pattern can stand for, with ``{}`` for variables.

    Raises ValueError, NotImplementedError or AttributeError where it cannot be understood.
    """
    if isinstance(pattern, LocalePrefixPattern):
        return [pattern.language_prefix]
    if isinstance(pattern, RoutePattern):
        return [_VARIABLE.sub("{}", str(pattern))]
    found = []
    for text, names in normalize(pattern.regex.pattern):
        found.append(text % dict.fromkeys(names, "{}") if names else text.replace("%%", "%"))
    return list(dict.fromkeys(found))


def _words(pattern: Any) -> Iterator[str]:
    """The words of the expressions behind the pattern's variables, such as both of ``(?P<vote>up|down)``."""
    for converter in getattr(pattern, "converters", {}).values():
        yield from _WORD.findall(str(converter.regex))
    if hasattr(pattern, "_regex"):
        yield from _WORD.findall(str(pattern._regex))


def _sample(template: str, words: Sequence[str], view: Any) -> str | None:
    """A path of the template that leads to the view."""
    count = template.count("{}")
    fillings = list(dict.fromkeys([*SAMPLES, *words]))
    for filling in fillings:
        path = template.replace("{}", filling)
        if _leads(path, view):
            return path
    if 1 < count <= 4:
        for first in dict.fromkeys([*SAMPLES[:6], *words]):
            for second in fillings:
                head, _, tail = template.partition("{}")
                path = head + first + tail.replace("{}", second)
                if _leads(path, view):
                    return path
    return None


def _leads(path: str, view: Any) -> bool:
    try:
        return resolve(path).func is view
    except Resolver404:
        return False


def samples_of(route_path: str) -> Iterator[str]:
    """Paths that a route of strangler.toml covers."""
    stem = route_path.removesuffix("*")
    for filling in SAMPLES:
        path = re.sub(r"\{[a-z_]+\}", filling, stem)
        yield path
        if route_path.endswith("*"):
            yield path + filling
            yield path.rstrip("/")


def view_at(path: str) -> Any:
    """The view that a path leads to, in whichever language it does, or None."""
    own = translation.get_language_from_path(path)
    for code in dict.fromkeys([*([own] if own else []), *languages()]):
        with translation.override(code), suppress(Resolver404):
            return resolve(path).func
    return None


def is_safe(method: str) -> bool:
    """Whether requests with this method change nothing by HTTP's own rules."""
    return method in _SAFE
