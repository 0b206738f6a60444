"""What stands around every request: middleware and the settings of the databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.utils.module_loading import import_string

from chassis.inspection import entries
from chassis.inspection.findings import Finding
from chassis.inspection.project import Project, finding, groups, listed, moved
from chassis.inspection.reading import Arguments, Summary, together
from chassis.inspection.values import Request

FENCE = "chassis.ownership.fence.FenceMiddleware"
# Of Django, what reads or writes the database for a request, with how it does.
_KNOWN = {
    "django.contrib.sessions.middleware.SessionMiddleware": "saves the session",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "reads the account",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware": "logs in",
    "django.contrib.auth.middleware.RemoteUserMiddleware": "logs in",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware": "reads pages",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware": "reads redirects",
    "django.contrib.sites.middleware.CurrentSiteMiddleware": "reads the site",
}
_REQUEST = Arguments(((Request(),),), rest=True)
_HOOKS = ("__call__", "process_request", "process_view", "process_response", "process_exception")
_WITHOUT_DATABASE = ("chassis.", "django_prometheus.", "django.middleware.", "whitenoise.")


def middleware(project: Project) -> Iterator[Finding]:
    """Where the fence stands among the others, and what others write for every request."""
    names = list(settings.MIDDLEWARE)
    place = "settings.MIDDLEWARE"
    position = next((number for number, name in enumerate(names) if _is_fence(name)), None)
    if position is None:
        yield Finding(
            "middleware-order", "error", place,
            f"{FENCE} is not there: a request that meets the fence is neither held nor led to the owner, but fails.",
            "put it outside everything that may touch the database, behind health and metrics",
        )  # fmt: skip
    for number, name in enumerate(names):
        if _is_fence(name):
            continue
        project.count("middleware")
        thing, summary = _read(project, name)
        if position is not None and number < position and (told := _touches(name, summary)):
            yield Finding(
                "middleware-order", "error", place,
                f"{name} stands before the fence and {told}: that is done for a request that is then rolled back or "
                "led to the other side, and it is done twice.",
                f"move {FENCE} above it",
            )  # fmt: skip
        yield from everywhere(project, name, thing, summary)


def around(project: Project) -> Iterator[Finding]:
    """What else Django calls for requests of all URLs: context processors, and how an account is found again."""
    processors = [
        name for engine in settings.TEMPLATES for name in engine.get("OPTIONS", {}).get("context_processors", ())
    ]
    for name in dict.fromkeys(processors):
        project.count("context processors")
        thing = _imported(project, f"the context processor {name}", name)
        if thing is not None:
            yield from everywhere(project, name, thing, entries.function(project.reader, thing, _REQUEST))
    for name in settings.AUTHENTICATION_BACKENDS:
        project.count("authentication backends")
        backend = _imported(project, f"the backend {name}", name)
        if isinstance(backend, type):
            summary = entries.method(project.reader, backend, "get_user", own=True)
            # Django's own reads the account, whatever the URL is.
            summary.reads.update(entries.method(project.reader, backend, "get_user").reads)
            yield from everywhere(project, name, backend, summary)


def everywhere(project: Project, name: str, thing: Any, summary: Summary, *, key: object = None) -> Iterator[Finding]:
    """What something does that belongs to no URL, but to all. ``key``: of several that are told as one."""
    what = name if key else f"{name}, for any URL"
    for group in groups(project, summary, inside=lambda capability: False, what=what, entry=thing, key=key):
        owner = group.capability.name
        yield finding(
            "middleware-writes", "error", group, entry=thing,
            message=f"{name} writes {group.done}, whatever the URL is: once {owner} is owned elsewhere, requests that "
            "stay here are refused for ever.",
            remedy=f'ask owners.is_open("{owner}") before the write',
        )  # fmt: skip


def databases(project: Project) -> Iterator[Finding]:
    """What would keep the middleware from undoing a request."""
    aliases: dict[str, list[str]] = {}
    for model, _ in moved(project):
        aliases.setdefault(router.db_for_write(model), []).append(model._meta.label)
    for alias, labels in sorted(aliases.items()):
        configured = connections.settings[alias]
        shown = listed(labels, 3)
        if configured.get("AUTOCOMMIT") is False:
            yield Finding(
                "autocommit-off", "error", f"settings.DATABASES[{alias!r}]",
                f"AUTOCOMMIT is False on the database of {shown}: Django opens no transactions there, so a request "
                "that meets the fence cannot be undone, and a refused one leaves its transaction open.",
                "take AUTOCOMMIT = False out",
            )  # fmt: skip
        if alias != DEFAULT_DB_ALIAS and not configured.get("ATOMIC_REQUESTS"):
            yield Finding(
                "atomic-requests", "error", f"settings.DATABASES[{alias!r}]",
                f"{shown} are written on the alias {alias!r}, and the middleware opens its transaction on "
                f"{DEFAULT_DB_ALIAS!r}: what a request has committed there before it meets the fence cannot be undone.",
                f"set ATOMIC_REQUESTS = True for {alias!r}",
            )  # fmt: skip


def _is_fence(name: str) -> bool:
    if name == FENCE:
        return True
    try:
        thing = import_string(name)
    except ImportError:
        return False
    return isinstance(thing, type) and any(f"{one.__module__}.{one.__name__}" == FENCE for one in thing.__mro__)


def _read(project: Project, name: str) -> tuple[Any, Summary]:
    thing = _imported(project, f"the middleware {name}", name)
    if thing is None:
        return name, Summary()
    if name.startswith(_WITHOUT_DATABASE) or name in _KNOWN:
        return thing, Summary()
    if isinstance(thing, type):
        return thing, together(*(entries.method(project.reader, thing, each, _REQUEST) for each in _HOOKS))
    return thing, _made(project, thing)


def _imported(project: Project, what: str, name: str) -> Any:
    """What the settings name; None where it cannot be imported, which is noted."""
    try:
        return import_string(name)
    except ImportError as error:
        project.not_looked_at.append(f"{what}: {error}")
        return None


def _made(project: Project, factory: Any) -> Summary:
    """What a middleware that is written as a function inside a function does with a request."""
    from chassis.inspection.reading import layers
    from chassis.inspection.values import Local

    summaries = []
    for layer in layers(factory):
        summary = project.reader.run(layer)
        summaries.append(summary)
        for value in summary.returns:
            if isinstance(value, Local):
                summaries.append(value.frame.inner(value.node))
    return together(*summaries)


def _touches(name: str, summary: Summary) -> str | None:
    if name == "django.contrib.sessions.middleware.SessionMiddleware":
        stored = settings.SESSION_ENGINE in (
            "django.contrib.sessions.backends.db",
            "django.contrib.sessions.backends.cached_db",
        )
        return _KNOWN[name] if stored else None
    if name in _KNOWN:
        return _KNOWN[name]
    return f"asks the database ({summary.asks})" if summary.asks else None
