"""Which apps and which middleware of the project the service has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from strangler.extract.draft import Decision, Kind, TakenApp
from strangler.extract.frame.access import IDENTITY, Access, Way, is_guarded
from strangler.extract.frame.missing import missed_of
from strangler.extract.frame.surroundings import Surroundings
from strangler.init.described import App

ADMIN, AUTH, SESSIONS = "django.contrib.admin", "django.contrib.auth", "django.contrib.sessions"
CONTENT_TYPES, MESSAGES, STATIC = "django.contrib.contenttypes", "django.contrib.messages", "django.contrib.staticfiles"
NEEDS = {
    ADMIN: (AUTH, CONTENT_TYPES, SESSIONS, MESSAGES, STATIC),
    AUTH: (CONTENT_TYPES,),
    "rest_framework.authtoken": (AUTH,),
    "django.contrib.flatpages": ("django.contrib.sites",),
    "django.contrib.redirects": ("django.contrib.sites",),
}
# What of an app can be imported without it among INSTALLED_APPS.
_WITHOUT_APP = {
    # Its decorators and mixins import its forms, and these its models.
    AUTH: ("", "authenticate", "get_user_model", "hashers", "password_validation", "signals"),
    CONTENT_TYPES: (),
}
HEALTH = "chassis.servers.health.HealthMiddleware"
ADMISSION = "chassis.process.admission.AdmissionMiddleware"
FENCE = "chassis.ownership.fence.FenceMiddleware"
MIDDLEWARE_OF = {
    "django.contrib.sessions.middleware.SessionMiddleware": SESSIONS,
    "django.contrib.auth.middleware.AuthenticationMiddleware": AUTH,
    "django.contrib.auth.middleware.LoginRequiredMiddleware": AUTH,
    "django.contrib.messages.middleware.MessageMiddleware": MESSAGES,
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware": "django.contrib.flatpages",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware": "django.contrib.redirects",
    "django.contrib.sites.middleware.CurrentSiteMiddleware": "django.contrib.sites",
    "whitenoise.middleware.WhiteNoiseMiddleware": STATIC,
}


@dataclass(frozen=True, slots=True)
class Installed:
    """``apps`` and ``middleware`` as the settings name them; ``modules`` are the apps' packages."""

    apps: tuple[str, ...]
    modules: frozenset[str]
    middleware: tuple[str, ...]
    decisions: tuple[Decision, ...]

    @property
    def packages(self) -> frozenset[str]:
        """The top modules of all of them."""
        return frozenset(one.partition(".")[0] for one in (*self.modules, *self.middleware))


def installed(here: Surroundings, access: Access) -> Installed:
    """Chooses. Where the service asks who somebody is, it has no sessions, no accounts and no admin of its own."""
    entries = _listed(here, "INSTALLED_APPS")
    modules = {entry: _module(here, entry) for entry in entries}
    taken = {app.module: app for app in here.source.apps}
    packaged = {app.module for app in here.source.apps if not app.own}
    kept = {entry for entry, module in modules.items() if module in taken or _is_needed(here, module)}
    if Way.SESSIONS in access.ways and not access.asks:
        # Nobody is known there; but whoever asks who it is has to get an answer.
        kept |= {entry for entry, module in modules.items() if module in (AUTH, SESSIONS)}
    if is_guarded(here):
        kept |= {entry for entry, module in modules.items() if module == AUTH}
    if access.asks:
        kept -= {entry for entry, module in modules.items() if module == ADMIN and module not in packaged}
    if here.owns_accounts:
        kept |= {entry for entry, module in modules.items() if module in (AUTH, CONTENT_TYPES, SESSIONS)}
    if _shows_static(here):
        kept |= {entry for entry, module in modules.items() if module == STATIC}
    middleware = [one for one in _listed(here, "MIDDLEWARE") if _may_stay(here, one)]
    while True:
        present = {modules[entry] for entry in kept}
        wanted = {need for module in present for need in NEEDS.get(module, ())}
        wanted |= _pointed_at(here, present)
        theirs = [one for one in middleware if one.partition(".")[0] not in here.own_modules]
        wanted |= {need for one in theirs if (need := _app_of(one)) and need not in MIDDLEWARE_OF.values()}
        more = {entry for entry, module in modules.items() if module in wanted} - kept
        if not more:
            break
        kept |= more
    present = {modules[entry] for entry in kept}
    if access.asks:
        middleware = [one for one in middleware if MIDDLEWARE_OF.get(one) not in (SESSIONS, AUTH)]
    middleware = [one for one in middleware if MIDDLEWARE_OF.get(one, "") in {"", *present}]
    apps = [_entry(entry, modules[entry], taken) for entry in entries if entry in kept]
    apps += [_entry(app.module, app.module, taken) for app in here.source.apps if app.module not in present]
    if "chassis" not in present:
        apps.insert(_before(apps, taken), "chassis")
    return Installed(
        tuple(apps),
        frozenset(present | {*taken} | {"chassis"}),
        tuple(_with_chassis(middleware, identity=access.asks)),
        (*_left_apps(here, entries, kept, modules), *_left_middleware(here, middleware)),
    )


def _pointed_at(here: Surroundings, present: Collection[str]) -> set[str]:
    """The packages' apps with models at which models of installed packages point that are in the service."""
    apps = here.described.apps
    tables = {one.name: apps[one.app] for one in here.described.tables if one.app in apps}
    pairs = [(tables[one.table], tables[one.to]) for one in here.described.references
             if one.table in tables and one.to in tables]  # fmt: skip
    return {there.module for one, there in pairs if not one.own and one.module in present and not there.own}


def _listed(here: Surroundings, setting: str) -> Sequence[str]:
    found = here.described.setting(setting)
    value = found.value if found else []
    if isinstance(value, dict):
        value = value.get("$tuple", [])
    return [one for one in value or () if isinstance(one, str)]


def _module(here: Surroundings, entry: str) -> str:
    known = [app.module for app in here.described.apps.values()]
    fitting = [one for one in known if entry == one or entry.startswith(f"{one}.")]
    return max(fitting, key=len, default=entry)


def _app(here: Surroundings, module: str) -> App | None:
    return next((app for app in here.described.apps.values() if app.module == module), None)


def _is_needed(here: Surroundings, module: str) -> bool:
    app = _app(here, module)
    if module == "chassis":
        return True
    if (app and app.own) or module.partition(".")[0] in here.foreign_modules:
        return False
    if module == ADMIN:
        return any(path.name == "admin.py" for path in here.texts) and here.imports_of(ADMIN)
    if module in _WITHOUT_APP:
        inner = {name[len(module) :].lstrip(".").partition(".")[0] for name in here.imports if _within(name, module)}
        return bool(inner - {*_WITHOUT_APP[module]})
    return here.imports_of(module) or (module != ADMIN and _is_loaded(here, module, app))


def _is_loaded(here: Surroundings, module: str, app: App | None) -> bool:
    """Whether a page loads tags of the installed app, as far as their library is named after it."""
    names = {module.rpartition(".")[2], app.label if app else ""} - {""}
    return any(loaded.startswith(name) for loaded in here.loaded_tags for name in names)


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _shows_static(here: Surroundings) -> bool:
    return any(path.suffix == ".html" for path in here.source.files)


def _may_stay(here: Surroundings, middleware: str) -> bool:
    """Whether it can work in the service: Django's and the chassis's, that of packages without tables, and what came
    along."""
    top = middleware.partition(".")[0]
    if top in ("django", "chassis"):
        return True
    if top in here.own_modules:
        return here.comes_along(middleware) and middleware not in here.source.not_taken
    with_tables = {
        here.described.apps[one.app].module for one in here.described.tables if one.app in here.described.apps
    }
    return not any(_within(module, top) for module in with_tables)


def _app_of(middleware: str) -> str:
    return MIDDLEWARE_OF.get(middleware) or middleware.partition(".")[0]


def _entry(entry: str, module: str, taken: dict[str, TakenApp]) -> str:
    return taken[module].config or entry if module in taken else entry


def _before(apps: Sequence[str], taken: dict[str, TakenApp]) -> int:
    first = [number for number, one in enumerate(apps) if any(_within(one, module) for module in taken)]
    return first[0] if first else len(apps)


def _with_chassis(middleware: Sequence[str], *, identity: bool) -> Sequence[str]:
    """In the order of docs/reference/chassis-settings.md: outermost of all that may touch the database."""
    order = [HEALTH, *([IDENTITY] if identity else []), ADMISSION, FENCE]
    found = list(middleware)
    for number, one in enumerate(order):
        if one not in found:
            before = [_index(found, earlier) for earlier in order[:number]]
            found.insert(max([-1, *before]) + 1, one)
    return found


def _index(values: Sequence[str], value: str) -> int:
    return values.index(value) if value in values else -1


def _left_apps(
    here: Surroundings, entries: Sequence[str], kept: set[str], modules: dict[str, str]
) -> Iterator[Decision]:
    place = _place(here, "INSTALLED_APPS")
    for entry in entries:
        if entry not in kept:
            app = _app(here, modules[entry])
            why = "it is another part of the project" if app and app.own else "nothing that came along imports it"
            yield Decision(
                place,
                Kind.SETTING,
                f"INSTALLED_APPS: {entry} was left out: {why}",
                f"add it to INSTALLED_APPS in {here.package}/settings.py, if the service needs it",
                open=False,
            )


def _left_middleware(here: Surroundings, kept: Sequence[str]) -> Iterator[Decision]:
    place = _place(here, "MIDDLEWARE")
    for one in _listed(here, "MIDDLEWARE"):
        if one in kept:
            continue
        own = one.partition(".")[0] in here.own_modules
        why = here.source.not_taken.get(one, "it is the project's own") if own else "its app is not in the service"
        missed = missed_of(here, one) if not own else ""
        if missed:
            why = f"it may read and write tables which stay, and {missed}"
        session = own and "the session" in why
        remedy = f"add it to MIDDLEWARE in {here.package}/settings.py, if the service needs it"
        if session:
            remedy = "nothing: it does its work for requests to the monolith"
        elif own:
            remedy = "take its module along and add it, or see that nothing of the service relies on it"
        elif missed:
            remedy = f"write one of your own that sets it without rows, in {here.package}, or see that no page needs it"
        is_open = bool(missed) or (own and not session)
        yield Decision(place, Kind.SETTING, f"MIDDLEWARE: {one} was left out: {why}", remedy, open=is_open)


def _place(here: Surroundings, setting: str) -> str:
    found = here.described.setting(setting)
    return found.place if found else ""
