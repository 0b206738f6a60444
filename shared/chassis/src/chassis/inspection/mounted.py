"""How the project's URL patterns are written, so that a service can be given the same ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.urls import URLPattern, URLResolver, converters, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RoutePattern

from chassis.inspection import sources, urls

_MAKERS = ("view", "wrapped_view")
_LOGIN = "django.contrib.auth.decorators.login_required"


def mounted() -> list[dict[str, Any]]:
    """Each pattern which leads to a view, in the resolver's order, without those of admins.

    ``chain`` are the pieces of its path as ``kind`` (``path``, ``regex``, ``language``) and ``text``; ``spaces`` the
    namespaces around it, each as application and instance; ``template`` the path with ``{}`` for variables.
    """
    return list(_walk(get_resolver().url_patterns, [], [], {}, ""))


def _walk(
    patterns: Sequence[Any],
    chain: Sequence[dict[str, Any]],
    spaces: Sequence[Sequence[str]],
    kwargs: dict[str, Any],
    template: str,
) -> Iterator[dict[str, Any]]:
    for one in patterns:
        piece = _piece(one.pattern)
        try:
            text = template + urls.pieces(one.pattern)[0]
        except (ValueError, NotImplementedError, AttributeError, IndexError):
            text = template + piece["text"]
        if isinstance(one, URLResolver):
            if one.app_name == "admin":
                continue
            inside = [*spaces, [one.app_name or one.namespace, one.namespace]] if one.namespace else spaces
            yield from _walk(one.url_patterns, [*chain, piece], inside, {**kwargs, **one.default_kwargs}, text)
        elif isinstance(one, URLPattern):
            yield _told(one, [*chain, piece], spaces, {**kwargs, **one.default_args}, f"/{text.lstrip('/')}")


def _piece(pattern: Any) -> dict[str, Any]:
    if isinstance(pattern, LocalePrefixPattern):
        return {"kind": "language", "text": "", "default_too": pattern.prefix_default_language, "converters": {}}
    if isinstance(pattern, RoutePattern):
        own = converters.DEFAULT_CONVERTERS.values()
        known = {name: type(one) for name, one in pattern.converters.items() if one not in own}
        return {
            "kind": "path",
            "text": str(pattern),
            "translated": not isinstance(getattr(pattern, "_route", ""), str),
            "converters": {name: _named(cls) for name, cls in known.items()},
        }
    return {
        "kind": "regex",
        "text": str(pattern),
        "translated": not isinstance(getattr(pattern, "_regex", ""), str),
        "converters": {},
    }


def _named(cls: type) -> str:
    """The dotted name by which the class can be imported; empty where there is none."""
    return "" if "<" in cls.__qualname__ else f"{cls.__module__}.{cls.__qualname__}"


def _told(
    pattern: URLPattern,
    chain: Sequence[dict[str, Any]],
    spaces: Sequence[Sequence[str]],
    kwargs: dict[str, Any],
    template: str,
) -> dict[str, Any]:
    callback: Any = pattern.callback
    cls = urls.class_of(callback)
    actions = getattr(callback, "actions", None)
    given = getattr(callback, "view_initkwargs", None) or getattr(callback, "initkwargs", None) or {}
    shown, unshown = _plain(given)
    known, unknown = _plain(kwargs)
    kind = "class" if cls else "function"
    view = urls.named(callback)
    return {
        "template": template,
        "chain": [*chain],
        "spaces": [*spaces],
        "name": pattern.name or "",
        "view": sources.dotted(view),
        "place": sources.place(view),
        "kind": "viewset" if cls and isinstance(actions, dict) else kind,
        "actions": dict(actions) if isinstance(actions, dict) else {},
        "given": shown,
        "kwargs": known,
        # What cannot be told: values which JSON does not hold, and decorators around the view.
        "untold": [*unshown, *unknown],
        "wrapped": _wrapped(callback, view, cls),
    }


def _plain(values: Any) -> tuple[dict[str, Any], list[str]]:
    known, unknown = {}, []
    for name, value in dict(values).items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            unknown.append(name)
        else:
            known[name] = value
    return known, unknown


def _wrapped(callback: Any, view: Any, cls: type | None) -> list[str]:
    """The decorators between the pattern and the view, outermost first; none where they are the view's own."""
    found = []
    layer = callback
    while layer is not None:
        code = getattr(layer, "__code__", None)
        if cls is not None and code is not None and code.co_name in _MAKERS and "cls" in code.co_freevars:
            break
        if cls is None and _is_its_modules(layer, view):
            break
        inner = getattr(layer, "func", None) if not code else getattr(layer, "__wrapped__", None)
        if inner is None:
            break
        name = f"{layer.__globals__.get('__name__', '?')}.{code.co_qualname}" if code else type(layer).__qualname__
        found.append(_LOGIN if _asks_for_a_login(layer) else name.partition(".<locals>")[0])
        layer = inner
    # REST framework's own views are exempt by themselves, and so are they in the service.
    return [one for one in found if not (one.endswith("csrf.csrf_exempt") and hasattr(cls, "renderer_classes"))]


def _asks_for_a_login(layer: Any) -> bool:
    """Whether it is Django's `login_required` without an address of its own, which is made by `user_passes_test`."""
    cells = dict(
        zip(getattr(getattr(layer, "__code__", None), "co_freevars", ()), layer.__closure__ or (), strict=False)
    )
    test, url = (cells[name].cell_contents if name in cells else None for name in ("test_func", "login_url"))
    return getattr(test, "__qualname__", "").startswith("login_required.") and url is None


def _is_its_modules(layer: Any, view: Any) -> bool:
    module = sys.modules.get(getattr(view, "__module__", "") or "")
    return getattr(module, getattr(view, "__name__", ""), None) is layer
