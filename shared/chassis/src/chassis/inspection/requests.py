"""Which requests a project answers: by URL pattern and method, the view, and which tables it writes and reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import Resolver404, resolve
from django.utils import translation

from chassis.inspection import entries, sources, urls
from chassis.inspection.configuration import plain
from chassis.inspection.project import models
from chassis.inspection.reading import Access, Reader, Summary
from chassis.inspection.routes import METHODS as ALL_METHODS
from chassis.inspection.urls import Address

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# A route for each language up to so many, and one with a variable in the language's place beyond.
MOST_LANGUAGES = 6
_ACROSS = "a/b"


def requests(unknown: list[str]) -> Iterator[dict[str, Any]]:
    """All but those of admins, each with the route that `strangler.toml` would name it by."""
    spelled = {model._meta.db_table for model in models()}
    reader = Reader({*spelled, *map(plain, spelled)}.__contains__)
    for path, address, doubts in _addresses(unknown):
        if not address.of_admin:
            yield _described(reader, path, address, doubts)


def admins() -> Sequence[str]:
    """The paths below which admins are, as far as they are mounted."""
    found = [one.template for one in urls.addresses([]) if one.of_admin and one.name.endswith(":index")]
    return sorted(dict.fromkeys(found))


def _described(reader: Reader, path: str, address: Address, doubts: Sequence[str]) -> dict[str, Any]:
    view = urls.named(address.view)
    answered = [method for method in METHODS if method in address.methods]
    methods: dict[str, dict[str, Sequence[str]]] = {}
    unread: dict[str, None] = {}
    for method in answered:
        try:
            summary = entries.view(reader, address.view, method)
        except Exception as error:  # noqa: BLE001  code of others can be of any kind, and the route is there all the same
            unread[f"what its view writes could not be read: {type(error).__name__}: {error}"] = None
            summary = Summary()
        methods[method] = {"writes": _tables(summary.writes), "reads": _tables(summary.reads)}
    config = apps.get_containing_app_config(getattr(view, "__module__", "") or "")
    return {
        "path": path,
        "name": address.name,
        "view": sources.dotted(view),
        "place": sources.place(view),
        "app": config.label if config else None,
        "model": _model(address.view),
        "split": urls.class_of(address.view) is not None,
        "any": set(ALL_METHODS) <= {*address.methods},
        "methods": methods,
        "doubts": [*doubts, *unread],
    }


def _tables(accesses: Mapping[Access, Any]) -> Sequence[str]:
    return list(dict.fromkeys(plain(access.table) for access in accesses))


def _model(view: Any) -> str | None:
    """The table of the model that a view's class names."""
    cls = urls.class_of(view)
    given = getattr(view, "view_initkwargs", None) or getattr(view, "initkwargs", None) or {}
    for name in ("queryset", "model"):
        with suppress(Exception):  # a class may have a property there, which wants a request
            found = given.get(name) or getattr(cls, name, None)
            meta = getattr(getattr(found, "model", found), "_meta", None)
            if meta is not None:
                return plain(meta.concrete_model._meta.db_table)
    return None


def _addresses(unknown: list[str]) -> Iterator[tuple[str, Address, Sequence[str]]]:
    """Each pattern in each language that changes its path, with the path as a route spells it."""
    codes = [code for code, _ in settings.LANGUAGES]
    prefixed, default_too = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    many = len(codes) > MOST_LANGUAGES
    seen: set[tuple[str, int]] = set()
    for code in [settings.LANGUAGE_CODE, *([] if not settings.USE_I18N else _others(codes, many, default_too))]:
        with translation.override(code):
            for address in urls.addresses(unknown if code == settings.LANGUAGE_CODE else []):
                for path, doubts in _paths(address):
                    inside = prefixed and many and path.startswith(f"/{code}/")
                    route = f"/{{language}}{path.removeprefix(f'/{code}')}" if inside else path
                    if (route, id(address.view)) not in seen:
                        seen.add((route, id(address.view)))
                        yield route, address, doubts


def _others(codes: Sequence[str], many: bool, default_too: bool) -> Collection[str]:
    """The languages whose paths are looked at besides the default one."""
    others = [code for code in codes if code.lower() != settings.LANGUAGE_CODE.lower()]
    return others[: 0 if default_too else 1] if many else others


def _paths(address: Address) -> Iterator[tuple[str, Sequence[str]]]:
    """The template as routes spell it; a second time with or without a slash at its end, where the view has both."""
    stars = _across(address)
    yield _route(address.template, stars)
    if address.sample is not None and not stars:
        other = address.sample[:-1] if address.sample.endswith("/") else f"{address.sample}/"
        template = address.template[:-1] if address.template.endswith("/") else f"{address.template}/"
        if other and _route_of(other) == _route_of(address.sample):
            yield _route(template, stars)


def _route(template: str, across: Collection[int]) -> tuple[str, Sequence[str]]:
    """Variables get names, and one that takes slashes makes the rest of the path a star."""
    parts = template.replace("%", "%25").split("{}")
    count = len(parts) - 1
    names = ["{id}"] if count == 1 else [f"{{{'abcdefgh'[number % 8]}}}" for number in range(count)]
    path, doubts = parts[0], []
    for number, name in enumerate(names):
        if number in across:
            if number < count - 1 or parts[number + 1] not in ("", "/"):
                doubts.append(f"it stands for all below {path}, for a variable in it takes slashes: {template}")
            return f"{path}*", doubts
        path += name + parts[number + 1]
    return path, doubts


def _across(address: Address) -> Collection[int]:
    """Which variables of the template take slashes."""
    count = address.template.count("{}")
    if address.sample is None or not count:
        return ()
    pattern = ".+?".join(f"({re.escape(part)})" for part in address.template.split("{}"))
    taken = re.fullmatch(pattern.replace(".+?", "(.+?)"), address.sample, re.DOTALL)
    if taken is None:
        return ()
    pieces = list(taken.groups())
    found = []
    for number in range(count):
        filled = [*pieces]
        filled[2 * number + 1] = _ACROSS
        # Another pattern of the same view may take it, too.
        if _route_of("".join(filled)) == _route_of(address.sample):
            found.append(number)
    return found


def _route_of(path: str) -> str | None:
    """The whole pattern that takes the path."""
    try:
        return str(resolve(path).route)
    except Resolver404:
        return None
