"""The service's settings: the project's own where they apply, as they are written there where that can be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame import applying, assignments
from strangler.extract.frame.access import JWT, NOBODY, Access, Way
from strangler.extract.frame.installed import ADMIN, AUTH, MESSAGES, SESSIONS, Installed
from strangler.extract.frame.spelling import names_in, python, text
from strangler.extract.frame.surroundings import Surroundings
from strangler.init.described import Mounted, Setting

FUTURE = "from __future__ import annotations"
# Where nothing of them is left, Django's own are meant.
OF_ACCOUNTS = ("AUTHENTICATION_BACKENDS", "PASSWORD_HASHERS")
# What may be the name of a URL.
ADDRESSES = ("LOGIN_URL", "LOGIN_REDIRECT_URL", "LOGOUT_REDIRECT_URL")
COOKIES = "django.contrib.messages.storage.cookie.CookieStorage"
IMPORTS = {
    "environment": "from chassis import environment",
    "logs": "from chassis.process import logs",
    "os": "import os",
    "timedelta": "from datetime import timedelta",
    "Path": "from pathlib import Path",
}
BASE = "BASE_DIR = Path(__file__).resolve().parent.parent"


@dataclass
class Written:
    """The file as it grows: blocks of lines, and what they need."""

    blocks: list[str] = field(default_factory=list)
    imports: dict[str, None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)  # settings which are written
    passed: set[str] = field(default_factory=set)  # settings about which is decided, written or not
    helpers: dict[str, None] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    paths: list[tuple[str, str]] = field(default_factory=list)  # setting, and what lies in the project's folder
    base: bool = False

    def add(self, name: str, block: str, *needs: str) -> None:
        """A setting's lines; ``needs`` are names that they use."""
        self.blocks.append(block)
        self.names.add(name)
        self.passed.add(name)
        for one in needs:
            self.base = self.base or one == "BASE_DIR"
            if one in IMPORTS:
                self.imports[IMPORTS[one]] = None


def settings(here: Surroundings, installed: Installed, access: Access) -> Written:
    """Writes the file's parts; `as_text` puts them together."""
    written = Written()
    _own(here, written, "SECRET_KEY", 'environment.secret("SECRET_KEY")')
    _own(here, written, "DEBUG", 'environment.flag("DEBUG", default=False)')
    _own(here, written, "ALLOWED_HOSTS", 'environment.listing("ALLOWED_HOSTS", default="localhost,127.0.0.1")')
    written.add("INSTALLED_APPS", f"\nINSTALLED_APPS = {_column(installed.apps)}")
    written.add("MIDDLEWARE", f"\nMIDDLEWARE = {_column(installed.middleware)}")
    written.add("ROOT_URLCONF", f'\nROOT_URLCONF = "{here.package}.urls"')
    if here.described.programs.wsgi or not here.described.programs.asgi:
        written.add("WSGI_APPLICATION", f'WSGI_APPLICATION = "{here.package}.wsgi.application"')
    if here.described.programs.asgi:
        written.add("ASGI_APPLICATION", f'ASGI_APPLICATION = "{here.package}.asgi.application"')
    _templates(here, installed, access, written)
    _databases(here, written)
    _accounts(here, access, installed, written)
    _messages(here, written)
    _loose(here, written)
    for setting in sorted(here.described.settings, key=lambda one: (one.file, one.line)):
        if setting.name not in applying.STRUCTURE and setting.name not in written.passed:
            _chosen(here, installed, access, written, setting)
    _rest_without_setting(here, installed, access, written)
    written.decisions += _cache_tables(here, written)
    written.add("LOGGING", f"\nLOGGING = logs.configuration({text(here.name)})", "logs")
    logging = here.described.setting("LOGGING")
    if logging and "chassis.process.logs" not in str(logging.value):
        written.decisions.append(
            _left(logging, here, "the chassis writes its log as JSON lines, the same in every service")
        )
    return written


def as_text(here: Surroundings, written: Written) -> str:
    """The whole file."""
    said = [
        f'"""Settings of the {here.name} service; what differs from place to place comes from the environment.\n',
        f'`strangler extract` wrote them from {here.described.settings_module or "those of the project"}.\n"""\n',
        f"{FUTURE}\n",
    ]
    body = "\n".join(written.blocks)
    imports = [*written.imports]
    if written.base and "BASE_DIR" not in written.names:
        imports.append(IMPORTS["Path"])
        body = f"{BASE}\n\n{body}"
    helpers = "\n".join(written.helpers)
    return "\n".join([*said, _imports(imports), *([helpers, ""] if helpers else []), body, ""])


def _imports(lines: Iterable[str]) -> str:
    """The statements, the standard library's first."""
    standard: list[str] = []
    other: list[str] = []
    merged: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            merged.setdefault(module, []).append(name)
        else:
            merged.setdefault(line, [])
    for module, names in merged.items():
        line = f"from {module} import {', '.join(sorted(names, key=str.lower))}" if names else module
        top = module.removeprefix("import ").partition(".")[0].partition(" ")[0]
        (standard if top in sys.stdlib_module_names else other).append(line)
    order = lambda line: (line.startswith("from "), line.lower())  # noqa: E731
    parts = ["\n".join(sorted(each, key=order)) for each in (standard, other) if each]
    return "\n\n".join(parts) + "\n"


def _column(values: Sequence[str]) -> str:
    return "\n".join(["[", *(f"    {text(one)}," for one in values), "]"])


def _own(here: Surroundings, written: Written, name: str, otherwise: str) -> None:
    """One which every service has: as the project reads it from the environment, if it does."""
    setting = here.described.setting(name)
    found = _statement(here, written, setting) if setting else None
    if found is None or "environ" not in found.text:
        written.add(name, f"{name} = {otherwise}", "environment")
        return
    _take(written, name, found)


def _statement(here: Surroundings, written: Written, setting: Setting) -> assignments.Statement | None:
    if not setting.once or not setting.file:
        return None
    path = PurePosixPath(setting.file)
    found = assignments.statement(here.root / path, setting.name, is_foreign=here.is_foreign, depth=len(path.parts) - 1)
    if found is None:
        return None
    if not all(name in written.names or name == "BASE_DIR" for name in found.needs):
        return None
    installed = here.described.distributions.keys()
    tops = {one.split()[1].partition(".")[0] for one in (*found.imports,)}
    return found if tops <= {*installed, *sys.stdlib_module_names, "chassis", *_taken(here)} else None


def _taken(here: Surroundings) -> set[str]:
    return {path.parts[0].removesuffix(".py") for path in here.source.files}


def _take(written: Written, name: str, found: assignments.Statement, *, apart: bool = False) -> None:
    written.imports.update(dict.fromkeys(found.imports))
    written.helpers.update(dict.fromkeys(found.helpers))
    written.base = written.base or "BASE_DIR" in found.needs
    written.add(name, f"\n{found.text}" if apart else found.text)


def _templates(here: Surroundings, installed: Installed, access: Access, written: Written) -> None:
    setting = here.described.setting("TEMPLATES")
    if setting is None or setting.kind != "value":
        return
    if not (here.has_templates or ADMIN in installed.modules or not _speaks_json_alone(here)):
        written.decisions.append(_left(setting, here, "nothing that came along renders a page"))
        return
    value = here.without_left(setting.value)
    apps = {ADMIN, *installed.modules}
    for engine in value:
        if isinstance(engine, dict) and any(path.parts[0] == "templates" for path in _files(here)):
            # Copies of templates of others lie there, wherever the project has them.
            folders = list(engine.get("DIRS") or [])
            engine["DIRS"] = folders if {"$path": "templates"} in folders else [*folders, {"$path": "templates"}]
        options = engine.get("OPTIONS", {}) if isinstance(engine, dict) else {}
        if "context_processors" in options:
            options["context_processors"] = [
                one for one in options["context_processors"] if _may_process(one, apps, asks=access.asks)
            ]
        if here.source.libraries and "Django" in str(engine.get("BACKEND", "") if isinstance(engine, dict) else ""):
            engine["OPTIONS"] = {**options, "libraries": {**here.source.libraries, **options.get("libraries", {})}}
    written.decisions += _named(here, setting)
    written.add("TEMPLATES", f"\nTEMPLATES = {python(value)}", *names_in(value))
    written.paths += [("TEMPLATES", path) for path in _paths(value)]


def _files(here: Surroundings) -> list[PurePosixPath]:
    return [*here.source.files, *here.source.copies]


def _speaks_json_alone(here: Surroundings) -> bool:
    rest = here.described.setting("REST_FRAMEWORK")
    found = rest.value.get("DEFAULT_RENDERER_CLASSES") if rest and isinstance(rest.value, dict) else None
    return bool(found) and "Browsable" not in str(found)


def _may_process(processor: str, apps: set[str], *, asks: bool) -> bool:
    if processor == "django.contrib.auth.context_processors.auth" and asks:
        return True
    if processor.startswith("django.contrib."):
        return any(processor.startswith(f"{one}.") for one in apps)
    return True


def _databases(here: Surroundings, written: Written) -> None:
    setting = here.described.setting("DATABASES")
    aliases = setting.value if setting and isinstance(setting.value, dict) else {}
    default = aliases.get("default", {})
    atomic = ", atomic_requests=True" if default.get("ATOMIC_REQUESTS") else ""
    made = f"environment.database(application={text(here.name)}{atomic})"
    engine = default.get("ENGINE") or "django.db.backends.postgresql"
    if engine != "django.db.backends.postgresql" and any(word in engine for word in ("postgis", "postgres", "psycopg")):
        made += f' | {{"ENGINE": {text(engine)}}}'
    written.add("DATABASES", f'\nDATABASES = {{"default": {made}}}', "environment")
    for alias in aliases:
        if setting and alias != "default":
            written.decisions.append(
                Decision(
                    setting.place,
                    Kind.SETTING,
                    f"DATABASES: the alias {alias} was left out",
                    "add it, if the code of the capability reads or writes there",
                    open=here.mentions(alias) and here.mentions("using"),
                )
            )


def _accounts(here: Surroundings, access: Access, installed: Installed, written: Written) -> None:
    if not access.is_remote:
        user = here.described.setting("AUTH_USER_MODEL")
        if user and isinstance(user.value, str):
            written.add("AUTH_USER_MODEL", f"\nAUTH_USER_MODEL = {text(user.value)}")
        if here.described.setting("TOKEN_KEY_FILE"):
            written.add("TOKEN_KEY_FILE", 'TOKEN_KEY_FILE = environment.secret("TOKEN_KEY_FILE")', "environment")
        return
    lines = [
        "",
        "# Nobody has an account here: what a request brings says who it is from.",
        'CHASSIS_ACCOUNTS = "remote"',
    ]
    if Way.TOKENS in access.ways:
        lines += ["GATEWAY_URL = environment.gateway()", 'CHASSIS_JWKS_URL = f"{GATEWAY_URL}/.well-known/jwks.json"']
        written.names |= {"GATEWAY_URL", "CHASSIS_JWKS_URL"}
        if here.described.setting("CHASSIS_AUDIENCE") is None:
            lines.append(f"CHASSIS_AUDIENCE = {text(here.described.name)}")
    if access.asks:
        lines += [f"CHASSIS_IDENTITY_URL = environment.secret({text(here.asked_at)})",
                  'CHASSIS_IDENTITY_SECRETS = [environment.secret("IDENTITY_SECRET")]']  # fmt: skip
        written.passed.add("CHASSIS_IDENTITY_SECRETS")
    if MESSAGES in installed.modules and SESSIONS not in installed.modules:
        lines += ["# Sessions are only read here.", f"MESSAGE_STORAGE = {text(COOKIES)}"]
        written.passed.add("MESSAGE_STORAGE")
    if here.described.setting("INTERNAL_URL") or here.mentions("INTERNAL_URL") or here.imports_of("chassis.calls"):
        lines += ["# Other services are asked at the gateway's internal address: it knows who owns what.",
                  'INTERNAL_URL = environment.text("INTERNAL_URL")']  # fmt: skip
        written.names.add("INTERNAL_URL")
    if here.imports_of("chassis.calls") and here.described.setting("SERVICE_KEY_FILE") is None:
        lines += ["# By this key the others know who asks.",
                  'SERVICE_KEY_FILE = environment.secret("SERVICE_KEY_FILE")',
                  "# Ports are asked where the project's own code was, which may be in a transaction.",
                  "CHASSIS_CALLS_IN_TRANSACTIONS = True"]  # fmt: skip
        written.names |= {"SERVICE_KEY_FILE", "CHASSIS_CALLS_IN_TRANSACTIONS"}
    written.add("CHASSIS_ACCOUNTS", "\n".join(lines), "environment")


def _messages(here: Surroundings, written: Written) -> None:
    """Until a move has filled the service all is the monolith's; of the messages it has those of its capability."""
    written.add(
        "CHASSIS_OPEN_WITHOUT_MOVE",
        "\n# Until a move has filled this service, everything is the monolith's. Set it where there was never a "
        'monolith.\nCHASSIS_OPEN_WITHOUT_MOVE = environment.flag("OPEN_WITHOUT_MOVE", default=False)',
        "environment",
    )
    labels = {app.label for app in here.source.apps if app.moved} | {here.capability.name}
    for name in ("CHASSIS_CONSUMES", "CHASSIS_INBOXES", "CHASSIS_OWNER_PATHS"):
        setting = here.described.setting(name)
        written.passed.add(name)
        if setting and isinstance(setting.value, dict):
            value = {key: one for key, one in setting.value.items() if key.partition(".")[0] in labels}
            if value:
                written.add(name, f"{name} = {python(value, taken=len(name) + 3)}", *names_in(value))
            if len(value) < len(setting.value):
                said = ", ".join(sorted(setting.value.keys() - value.keys()))
                written.decisions.append(_left(setting, here, "it is not of this capability", of=said))
    unheard = here.described.setting("CHASSIS_UNHEARD")
    if unheard and isinstance(unheard.value, list):
        own = [one for one in unheard.value if one.partition(".")[0] in labels]
        if own:
            written.add("CHASSIS_UNHEARD", f"CHASSIS_UNHEARD = {python(own, taken=18)}")
        written.passed.add("CHASSIS_UNHEARD")


def _loose(here: Surroundings, written: Written) -> None:
    if here.source.loose:
        named = "\n# Relations of installed packages to rows that are elsewhere: they have no constraint.\n"
        written.add("CHASSIS_LOOSE", f"{named}CHASSIS_LOOSE = {_column(here.source.loose)}")


def _chosen(here: Surroundings, installed: Installed, access: Access, written: Written, setting: Setting) -> None:
    why = applying.why_not(setting.name, here, installed, access)
    if why:
        written.decisions.append(_left(setting, here, why))
        return
    left = list(here.left_in(setting.value))
    found = None if left else _statement(here, written, setting)
    if setting.name in ADDRESSES and (path := _of_url_that_stays(here, setting.value)):
        written.add(setting.name, f"{setting.name} = {text(path)}")
        written.decisions.append(
            Decision(
                setting.place,
                Kind.ROUTE,
                f"{setting.name} names the URL {setting.value}, which stays: it became the path {path}",
                "see that the gateway leads there",
                open=False,
            )
        )
    elif setting.name == "REST_FRAMEWORK":
        _rest(here, installed, access, written, setting=setting, found=found)
    elif found is not None:
        _take(written, setting.name, found, apart="\n#" in f"\n{found.text}"[:2] or "\n" in found.text)
    elif setting.kind == "secret":
        _secret(here, written, setting)
    elif setting.kind == "opaque":
        _opaque(here, written, setting)
    elif left and isinstance(setting.value, str):
        written.decisions.append(_foreign(here, setting, left))
    else:
        value = here.without_left(setting.value)
        if setting.value and not value and access.is_remote and setting.name in OF_ACCOUNTS:
            written.decisions.append(
                _left(setting, here, "whoever uses the admin there has an account of Django's own")
            )
            return
        written.decisions += _named(here, setting)
        written.add(setting.name, f"{setting.name} = {python(value, taken=len(setting.name) + 3)}", *names_in(value))
        written.decisions += [_variable(setting, one) for one in _variables(value)]
    written.paths += [(setting.name, path) for path in _paths(setting.value)]


def _rest(
    here: Surroundings,
    installed: Installed,
    access: Access,
    written: Written,
    *,
    setting: Setting,
    found: assignments.Statement | None,
) -> None:
    """Without accounts a request without a token has no user: AnonymousUser would need their tables."""
    more: dict[str, Any] = {}
    if access.is_remote and AUTH not in installed.modules:
        more = {"UNAUTHENTICATED_USER": NOBODY if access.asks else None}
    classes = _authentication(setting, access)
    if classes is not None:
        more = {"DEFAULT_AUTHENTICATION_CLASSES": classes, **more}
    if found is not None:
        added = f" | {python(more)}" if more else ""
        _take(written, setting.name, found, apart=True)
        written.blocks[-1] += added
        return
    value = {**here.without_left(setting.value or {}), **more}
    if not value:
        return
    written.decisions += _named(here, setting)
    written.add(setting.name, f"\nREST_FRAMEWORK = {python(value, taken=17)}", *names_in(value))


def _cache_tables(here: Surroundings, written: Written) -> Iterator[Decision]:
    """Tables of caches, which no migration makes."""
    setting = here.described.setting("CACHES") if "CACHES" in written.names else None
    caches = setting.value if setting is not None and isinstance(setting.value, dict) else {}
    for alias, cache in caches.items():
        if setting is not None and isinstance(cache, dict) and "DatabaseCache" in str(cache.get("BACKEND")):
            yield Decision(
                setting.place,
                Kind.SETTING,
                f"CACHES: {alias} keeps its entries in a table, which no migration makes",
                "let the service's `migrate` in strangler.toml, and its Job, run `createcachetable` as well",
            )


def _of_url_that_stays(here: Surroundings, name: Any) -> str:
    """The path of a URL of the project which the service does not have."""
    if not isinstance(name, str) or "/" in name or any(one.name == name for one in here.source.routes):
        return ""
    taken = {one.view for one in here.source.routes}
    fitting = [one for one in here.described.urls if _whole_name(one) == name and "{}" not in one.template]
    return next((one.template for one in fitting if one.view not in taken), "")


def _whole_name(one: Mounted) -> str:
    return ":".join([*(instance for _, instance in one.spaces), one.name])


def _rest_without_setting(here: Surroundings, installed: Installed, access: Access, written: Written) -> None:
    """REST framework's own defaults would look for accounts, too."""
    if here.described.setting("REST_FRAMEWORK") is None and here.imports_of("rest_framework"):
        _rest(here, installed, access, written, setting=Setting("REST_FRAMEWORK", "value", value={}), found=None)


def _authentication(setting: Setting, access: Access) -> list[str] | None:
    """The classes of the service, where the project's own would look for rows of accounts."""
    if not access.is_remote:
        return None
    value = setting.value if isinstance(setting.value, dict) else {}
    classes = value.get("DEFAULT_AUTHENTICATION_CLASSES")
    classes = classes.get("$tuple") if isinstance(classes, dict) else classes
    if classes == [JWT]:
        return None
    return access.classes


def _secret(here: Surroundings, written: Written, setting: Setting) -> None:
    written.add(setting.name, f"{setting.name} = environment.secret({text(setting.name)})", "environment")
    written.decisions.append(_variable(setting, setting.name))


def _variable(setting: Setting, name: str) -> Decision:
    return Decision(
        setting.place,
        Kind.SETTING,
        f"{setting.name} holds a secret, which was not copied: the service reads it from the variable {name}",
        f"set {name} in the environment of the service, or name a file by {name}_FILE",
    )


def _opaque(here: Surroundings, written: Written, setting: Setting) -> None:
    written.decisions.append(
        Decision(
            setting.place,
            Kind.SETTING,
            f"{setting.name} could not be copied: it is a {setting.type}, which other code of the project makes",
            f"write it into {here.package}/settings.py",
            open=setting.name in here.source.settings,
        )
    )


def _left(setting: Setting, here: Surroundings, why: str, *, of: str = "") -> Decision:
    what = f"{setting.name}: {of} was left out" if of else f"{setting.name} was left out"
    return Decision(
        setting.place,
        Kind.SETTING,
        f"{what}: {why}",
        f"add it to {here.package}/settings.py, if the service needs it",
        open=False,
    )


def _foreign(here: Surroundings, setting: Setting, left: Sequence[str]) -> Decision:
    because = "".join(f" ({why})" for one in left if (why := here.source.not_taken.get(one)))
    return Decision(
        setting.place,
        Kind.SETTING,
        f"{setting.name} names {', '.join(left)}, which did not come along{because}",
        f"take it along, or write another into {here.package}/settings.py",
    )


def _named(here: Surroundings, setting: Setting) -> Iterator[Decision]:
    if left := list(dict.fromkeys(here.left_in(setting.value))):
        yield _foreign(here, setting, left)


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$environment" in value:
            yield str(value["$environment"])
        for one in value.values():
            yield from _variables(one)
    elif isinstance(value, list):
        for one in value:
            yield from _variables(one)


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$path" in value:
            yield str(value["$path"])
        for one in value.values():
            yield from _paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one)


def variables(code: str) -> Sequence[str]:
    """The variables without which settings cannot be imported, as far as they are read by `environment` or
    `os.environ[…]`."""
    found = dict.fromkeys(name for node in ast.walk(ast.parse(code)) if (name := _variable_of(node)))
    return [*found]


_READ_BY = {"gateway": "GATEWAY_URL", "internal": "INTERNAL_URL", "database": "DATABASE_URL", "celery": "BROKER_URL"}


def _variable_of(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        given = node.args[0] if node.func.attr == "secret" and node.args else None
        return _READ_BY.get(node.func.attr, "") or _string(given)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        return _string(node.slice)
    return ""


def _string(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
