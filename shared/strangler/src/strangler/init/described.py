"""A project as it describes itself: tables, what refers to what, requests, and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strangler.domain.errors import ConfigurationError

FORM = 2
REMEDY = "let the chassis of the same version as this tool describe the project: `manage.py strangler_init`"


@dataclass(frozen=True, slots=True)
class App:
    """A Django app; ``own`` says whether the project's own folder has it, and not an installed package. ``path`` is its
    folder, seen from that of manage.py, and ``config`` the dotted name of its AppConfig, if it has one of its own."""

    label: str
    module: str
    own: bool
    path: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. ``joins``: it stands for a many-to-many relation, whose ``field`` is `app.Model.name`. ``generic`` are
    its GenericForeignKeys, and ``module`` is where its model is written."""

    name: str
    app: str
    model: str = ""
    place: str = ""
    joins: bool = False
    managed: bool = True
    generic: tuple[str, ...] = ()
    module: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """The column that a reference points at: the field's name, and which field of Django's it is."""

    name: str
    kind: str
    primary: bool = True
    max_length: int | None = None
    digits: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Reference:
    """``table.column`` points at ``to.to_column``. ``on_delete`` is empty where only the database was asked, and
    ``numbers`` says what its values number, if each database does so by itself. ``declared`` is the dotted name of the
    class that has the field in its body: the model, or an abstract one."""

    table: str
    column: str
    to: str
    to_column: str | None = None
    constrained: bool = True
    on_delete: str = ""
    numbers: str | None = None
    field: str = ""
    declared: str = ""
    null: bool = False
    unique: bool = False
    index: bool = True
    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What answers a path, and by method which tables that writes and reads. ``any``: it does not look at the
    method. ``split``: each method has code of its own. ``model`` is the table that its view names."""

    path: str
    view: str
    place: str
    app: str | None
    model: str | None
    any: bool
    split: bool
    writes: Mapping[str, Sequence[str]]
    reads: Mapping[str, Sequence[str]]
    doubts: Sequence[str] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Programs:
    """What servers and Celery are told to run."""

    wsgi: str | None = None
    asgi: str | None = None
    celery: str | None = None
    schedule: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that the project has chosen itself: ``kind`` is `value`, `secret`, or `opaque` where JSON has no such
    value. ``once``: one statement of ``file`` at ``line`` is all that says it. ``readers`` are installed packages."""

    name: str
    kind: str
    place: str = ""
    file: str = ""
    line: int = 0
    once: bool = False
    django: bool = False
    readers: tuple[str, ...] = ()
    value: Any = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a URL pattern: ``kind`` is `path`, `regex` or `language`; ``converters`` are classes by name, those
    that Django has not itself."""

    kind: str
    text: str
    translated: bool = False
    default_too: bool = True
    converters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A URL pattern as it is written. ``spaces`` are its namespaces, each as application and instance, ``given`` what
    `as_view` was given; ``untold`` names what of it could not be told, ``wrapped`` decorators around the view."""

    template: str
    chain: tuple[Piece, ...]
    view: str
    kind: str
    name: str = ""
    place: str = ""
    spaces: tuple[tuple[str, str], ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    wrapped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An entry of Celery's schedule. ``every`` is a Python expression, empty where it could not be told; ``rest`` are
    the other keys with an expression each."""

    name: str
    task: str
    every: str = ""
    imports: tuple[str, ...] = ()
    rest: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is installed, as pip calls it."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Described:
    """The project. ``whole``: it has described itself, so that its requests are known; otherwise only its database."""

    name: str
    whole: bool
    apps: Mapping[str, App] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    references: Sequence[Reference] = ()
    requests: Sequence[Request] = ()
    admins: Sequence[str] = ()
    programs: Programs = Programs()
    engine: str = "django.db.backends.postgresql"
    user_table: str | None = None
    unmodelled: Sequence[str] = ()  # tables of its database that no model has
    not_looked_at: Sequence[str] = ()
    python: str = ""  # its version, such as 3.13
    schedule: Sequence[Scheduled] = ()
    provides: Sequence[str] = ()  # parts of the chassis that a service can be given
    settings_module: str = ""
    settings: Sequence[Setting] = ()
    urls: Sequence[Mounted] = ()
    distributions: Mapping[str, Distribution] = field(default_factory=dict)  # by module
    folders: Mapping[str, str] = field(default_factory=dict)  # of the packages that have apps, by top module

    def setting(self, name: str) -> Setting | None:
        """The setting of this name, if the project has chosen it."""
        return next((one for one in self.settings if one.name == name), None)

    def table(self, name: str) -> Table | None:
        """The table of this name."""
        return next((one for one in self.tables if one.name == name), None)


def read(content: object, place: str) -> Described:
    """The description that `manage.py strangler_init` has written.

    Raises:
        ConfigurationError: it is none, or one of another version.
    """
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise ConfigurationError(
            "is not a description of a project in the form that this version reads", place=place, remedy=REMEDY
        )
    try:
        return _read(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"is not a whole description of a project: {type(error).__name__} {error}", place=place, remedy=REMEDY
        ) from error


def _read(content: dict[str, Any]) -> Described:
    return Described(
        name=content["name"],
        whole=True,
        apps={one["label"]: App(**one) for one in content["apps"]},
        tables=[Table(**{**one, "generic": tuple(one["generic"])}) for one in content["tables"]],
        references=[_reference(one) for one in content["references"]],
        requests=[_request(one) for one in content["requests"]],
        admins=content["admins"],
        programs=Programs(**content["programs"]),
        engine=content["engine"],
        user_table=content["user_table"],
        not_looked_at=content["not_looked_at"],
        python=content.get("python", ""),
        schedule=[Scheduled(**{**one, "imports": tuple(one["imports"])}) for one in content.get("schedule", ())],
        provides=content.get("provides", ()),
        settings_module=content.get("settings_module", ""),
        settings=[Setting(**{**one, "readers": tuple(one["readers"])}) for one in content.get("settings", ())],
        urls=[_mounted(one) for one in content.get("urls", ())],
        distributions={name: Distribution(**one) for name, one in content.get("distributions", {}).items()},
        folders=content.get("folders", {}),
    )


def _request(one: dict[str, Any]) -> Request:
    return Request(
        path=one["path"],
        view=one["view"],
        place=one["place"],
        app=one["app"],
        model=one["model"],
        any=one["any"],
        split=one["split"],
        writes={method: done["writes"] for method, done in one["methods"].items()},
        reads={method: done["reads"] for method, done in one["methods"].items()},
        doubts=one["doubts"],
        name=one["name"],
    )


def _mounted(one: dict[str, Any]) -> Mounted:
    return Mounted(
        **{
            **one,
            "chain": tuple(Piece(**piece) for piece in one["chain"]),
            "spaces": tuple((str(application), str(name)) for application, name in one["spaces"]),
            "untold": tuple(one["untold"]),
            "wrapped": tuple(one["wrapped"]),
        }
    )


def _reference(one: dict[str, Any]) -> Reference:
    key = one["key"]
    return Reference(**{**one, "key": Key(**{**key, "digits": tuple(key["digits"])}) if key else None})
