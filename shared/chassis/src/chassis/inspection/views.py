"""Views that write what moves from URLs that stay, routes that nothing answers, and views that cannot be repeated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.middleware.common import CommonMiddleware
from django.utils.module_loading import import_string

from chassis.inspection import admins, entries, sources, urls
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding, Severity
from chassis.inspection.project import Concern, Project, Reading, concerns, finding, listed, outside, readings, together
from chassis.inspection.reading import Blind, Summary
from chassis.inspection.routes import Route
from chassis.inspection.urls import Address

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Staying:
    """A method of a URL pattern that is no route of a capability whose tables it writes."""

    address: Address
    method: str
    concern: Concern


def findings(project: Project) -> Iterator[Finding]:
    """All of the project's views, each with every method that it answers."""
    staying: list[Staying] = []
    unknown: dict[Blind, list[tuple[Address, str]]] = {}
    of_models = admins.views()
    for address in project.addresses:
        if address.of_admin and (hasattr(address.view, "admin_site") or urls.named(address.view) in of_models):
            continue  # the admin is looked at by models
        project.count("views")
        durable = False
        for method in METHODS:
            if method not in address.methods:
                continue
            summary = entries.view(project.reader, address.view, method)
            staying += _staying(project, address, method, summary)
            if any(covering(project, address, method)):
                project.led |= summary.blind
                for capability in covering(project, address, method):
                    if capability in project.capabilities:
                        outside(project, summary, address, method, capability)
            else:
                for blind in summary.blind:
                    unknown.setdefault(blind, []).append((address, method))
            durable = durable or bool(summary.durable)
            yield from _unrepeatable(project, address, method, summary)
    yield from _written(staying)
    yield from _not_known(project, unknown)
    yield from _routes(project)


def covering(project: Project, address: Address, method: str) -> Iterator[Capability]:
    """The capabilities that requests for this pattern and method belong to."""
    for capability in project.configuration.capabilities.values():
        if capability.covers(method, address.path):
            yield capability


def _staying(project: Project, address: Address, method: str, summary: Summary) -> Iterator[Staying]:
    covered = {capability.name for capability in covering(project, address, method)}

    def inside(capability: Capability) -> bool:
        return capability.name in covered

    for concern in concerns(project, summary.writes, inside=inside):
        yield Staying(address, method, concern)
    view = urls.named(address.view)
    project.readings += [
        Reading(address.shown, view, view, each, (address, method), min(covered, default=None))
        for each in readings(project, summary, view, inside=inside)
    ]


def _written(staying: list[Staying]) -> Iterator[Finding]:
    """One finding for each function that writes, with all URLs that lead there."""
    members: dict[tuple[str, str, str, int, str | None], list[Staying]] = {}
    for one in staying:
        write, view = one.concern.access, urls.named(one.address.view)
        id = "view-without-route" if belongs(one) else "staying-view-writes"
        file, line = (write.file, write.around) if write.file else (sources.place(view), 0)
        members.setdefault((id, one.concern.capability.name, file, line, one.concern.reason), []).append(one)
    for (id, name, *_), several in members.items():
        group = together(dict.fromkeys(one.concern for one in several))[0]
        first, requests = several[0], asked_for([(one.address, one.method) for one in several])
        alone = len(requests) == 1
        told = (
            f"{listed(requests)} {'writes' if alone else 'write'} {group.done}, and {'is' if alone else 'are'} in no "
            f"route of {name}. Once {name} is owned elsewhere, {'it is' if alone else 'they are'} refused for ever."
        )
        yield finding(
            id, "error", group, entry=urls.named(first.address.view), message=told, remedy=remedy(id, several, name)
        )


def _not_known(project: Project, unknown: dict[Blind, list[tuple[Address, str]]]) -> Iterator[Finding]:
    """Calls that may write what moves, for requests that no route leads to its owner."""
    project.told |= unknown.keys()
    for blind, asked in unknown.items():
        found = Finding(
            "unknown-write", "warning", blind.place,
            f"{listed(asked_for(asked))} may write what moves, by {blind.call} of an object whose class is not known: "
            "such a request is in no route of what moves, and would be refused for ever.",
            "see what is written there: if it moves, add the URL to the routes, or ask owners.is_open first; if not, "
            "say so in a comment, or annotate the object with its class",
            "likely",
        )  # fmt: skip
        yield found.explained(sources.reason(blind.file, blind.line, blind.around))


def asked_for(asked: list[tuple[Address, str]]) -> list[str]:
    """The methods and paths, each path once."""
    methods: dict[str, list[str]] = {}
    possible: dict[str, set[str]] = {}
    for address, method in asked:
        methods.setdefault(address.shown, []).append(method)
        possible.setdefault(address.shown, set()).update(set(address.methods) & set(METHODS))
    return [
        f"{'*' if len(possible[path]) > 1 and set(names) == possible[path] else ','.join(dict.fromkeys(names))} {path}"
        for path, names in methods.items()
    ]


def belongs(one: Staying) -> bool:
    """Whether the pattern is the capability's own, and only its routes do not say so."""
    return _near(one) is not None or _app(one)


def _near(one: Staying) -> str | None:
    """The capability's route that the pattern would match but for its method, a slash or a language."""
    path, capability = one.address.path, one.concern.capability
    for route in capability.routes:
        if route.matches(path):
            return f"add {one.method} to the route {route}"
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        if route.covers(one.method, other):
            return f"{other} and {path} are two routes: add the other one to those of {capability.name}"
        head, _, rest = path.removeprefix("/").partition("/")
        languages = {code.lower() for code, _ in settings.LANGUAGES}
        if head.lower() in languages and route.covers(one.method, f"/{rest}"):
            return f"the pattern has a language before the path: add the route with it, for each language, {path}"
    return None


def _app(one: Staying) -> bool:
    """Whether the view stands in the app of the table that it writes."""
    module = getattr(urls.named(one.address.view), "__module__", "") or ""
    here = apps.get_containing_app_config(module)
    return here is not None and any(
        model._meta.db_table.replace('"', "") == one.concern.access.table
        for model in here.get_models(include_auto_created=True)
    )


def remedy(id: str, several: list[Staying], name: str) -> str:
    first = several[0]
    if id == "view-without-route":
        near = {text: None for one in several if (text := _near(one)) is not None}
        methods: dict[str, dict[str, None]] = {}
        for one in several:
            if _near(one) is None:
                methods.setdefault(_template(one.address.template), {})[one.method] = None
        every = {_template(one.address.template): set(one.address.methods) & set(METHODS) for one in several}
        routes = [
            f'"{"*" if len(names) > 1 and set(names) == every[path] else ",".join(names)} {path}"'
            for path, names in methods.items()
        ]
        more = [f"add {listed(routes)} to the routes of {name}"] if routes else []
        return "; ".join([*near, *more])
    if first.method in ("GET", "HEAD"):
        return (
            "write it where the table is owned: by a message or a call to the service, or leave it out where "
            f'owners.is_open("{name}") says no'
        )
    return (
        f'take the write out of the view: send a message or call the service where owners.is_open("{name}") says '
        f"no; or, if the URL belongs to {name}, add it to its routes"
    )


def _template(template: str) -> str:
    count = template.count("{}")
    for number in range(count):
        template = template.replace("{}", "{id}" if count == 1 else f"{{{'abcdefgh'[number % 8]}}}", 1)
    return template


def _unrepeatable(project: Project, address: Address, method: str, summary: Summary) -> Iterator[Finding]:
    """What keeps a route of a capability from being undone and repeated; nothing where it only reads."""
    if urls.is_safe(method) and not any(project.holder(write.table) for write in summary.writes):
        return
    view = urls.named(address.view)
    shown = f"{address.shown} ({sources.dotted(view)})"
    for capability in covering(project, address, method):
        if capability not in project.capabilities:
            continue
        if DEFAULT_DB_ALIAS in (getattr(address.view, "_non_atomic_requests", None) or ()):
            yield _of_view(
                "non-atomic-view", "warning", view,
                f"{shown} is a route of {capability.name} under non_atomic_requests: if the fence falls after it has "
                "committed something, it cannot be undone and repeated, and the answer is a 503 that says so.",
                "let the view run in one transaction; or see that it commits once, at its end, and say so in a comment",
            )  # fmt: skip
        if summary.durable:
            yield _of_view(
                "non-atomic-view", "warning", view,
                f"{shown} is a route of {capability.name} and opens durable transactions "
                f"({listed(sorted(summary.durable), 3)}): what one of them has committed cannot be undone when the "
                "fence falls in the next, and the answer is a 503 that says so.",
                "open one transaction; or see that the first one that commits is the last, and say so in a comment",
            )  # fmt: skip
        if _is_async(address) and (told := _unheld()):
            yield _of_view(
                "async-view", "error", view,
                f"{shown} is a route of {capability.name} and is asynchronous: {told}",
                "write the view without async, or keep it off the capability's routes",
            )  # fmt: skip


def _unheld() -> str | None:
    """Why an asynchronous view cannot be held; None where this chassis can."""
    if find_spec("chassis.ownership.asynchronous") is None:
        return (
            "the middleware does not see that it meets the fence, so the request is neither held nor led to the owner, "
            "and fails."
        )
    if connections.settings[DEFAULT_DB_ALIAS].get("ATOMIC_REQUESTS"):
        return "Django answers each request to it with 500 under ATOMIC_REQUESTS, in a move or not."
    return None


def _of_view(id: str, severity: Severity, view: Any, message: str, remedy: str) -> Finding:
    found = Finding(id, severity, sources.place(view), message, remedy)
    return found.explained(sources.reason(*sources.line_of(view)))


def _is_async(address: Address) -> bool:
    view = address.view
    if getattr(urls.class_of(view), "view_is_async", False):
        return True
    return inspect.iscoroutinefunction(view) or inspect.iscoroutinefunction(inspect.unwrap(view))


def _routes(project: Project) -> Iterator[Finding]:
    """Routes that no URL pattern answers."""
    for capability in project.capabilities:
        for route in capability.routes:
            project.count("routes")
            views = _views(project, route)
            if not views and _is_redirected(route):
                views = _views(project, Route(route.methods, f"{route.path}/"))
            place = f"{project.configuration.path.name}, [capabilities.{capability.name}] routes"
            if not views:
                yield Finding(
                    "route-without-view", "error", place,
                    f"no URL pattern answers {route}: its requests are 404 here, so it says nothing of what this "
                    "project writes.",
                    _nearest(project, route.path),
                )  # fmt: skip
                continue
            answered = {method for view in views for method in urls.methods_of(view)}
            if route.methods and (lost := sorted(route.methods - answered)):
                yield Finding(
                    "route-without-view", "warning", place,
                    f"{sources.dotted(urls.named(views[0]))} answers {route.path}, but not {', '.join(lost)}.",
                    "take the method out of the route, or see why the view does not answer it",
                )  # fmt: skip


def _views(project: Project, route: Route) -> list[Any]:
    meeting = [address.view for address in project.addresses if route.meets(address.template)]
    return meeting + [view for path in urls.samples_of(route.path) if (view := urls.view_at(path)) is not None]


def _is_redirected(route: Route) -> bool:
    """Whether Django leads the route's requests to the same path with a slash at its end, if a view is there."""
    if not settings.APPEND_SLASH or route.path.endswith(("/", "*")):
        return False
    middleware = [import_string(name) for name in settings.MIDDLEWARE]
    return any(isinstance(one, type) and issubclass(one, CommonMiddleware) for one in middleware)


def _nearest(project: Project, path: str) -> str:
    other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    near = [address for address in project.addresses if address.template == _plain(other)]
    if near:
        return f"write it as the project does: {other}"
    tail = [address.shown for address in project.addresses if address.template.endswith(_plain(path))]
    return f"did you mean {tail[0]}?" if tail else "take the route out, or write it as the project's urls.py does"


def _plain(path: str) -> str:
    from chassis.inspection.routes import VARIABLE

    return VARIABLE.sub("{}", path)
