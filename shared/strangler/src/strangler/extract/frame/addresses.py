"""The service's URLs: those of the capability's routes, written as the project writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeAlias

from strangler.extract.draft import Decision, Kind, TakenRoute
from strangler.extract.frame.spelling import WIDTH, python, text
from strangler.extract.frame.surroundings import Surroundings
from strangler.init.described import Mounted, Piece

HANDLERS = ("handler400", "handler403", "handler404", "handler500")
# Decorators that are told nothing but the view.
PLAIN = frozenset(
    {"django.contrib.auth.decorators.login_required", "django.views.decorators.cache.never_cache"}
    | {"django.views.decorators.csrf.csrf_exempt"}
)
DEPTH = 4
Call: TypeAlias = tuple[str, Sequence["str | Call"], str]
Expression: TypeAlias = str | Call
# The view of routes that stay, which have their names here.
ELSEWHERE = [
    "",
    "def elsewhere(request: HttpRequest, **words: object) -> HttpResponse:",
    '    """Stands for a route of another side: pages link to it by its name, and the gateway leads there."""',
    '    raise Http404("another side answers here")',
    "",
    "",
]
_VARIABLE = re.compile(r"\{[^{}]*\}")


@dataclass
class Module:
    """The file as it grows."""

    imports: dict[str, None] = field(default_factory=dict)
    of_django: set[str] = field(default_factory=set)
    converters: dict[str, str] = field(default_factory=dict)  # by name, the class
    decisions: list[Decision] = field(default_factory=list)
    links: set[int] = field(default_factory=set)  # patterns of routes that stay, by their identity
    is_linking: bool = False


def addresses(here: Surroundings, *, admin: bool) -> tuple[str, tuple[Decision, ...]]:
    """The text of `urls.py`, and what a person has to decide."""
    module = Module()
    chosen, missing = _chosen(here)
    for route in missing:
        module.decisions.append(
            Decision(
                "",
                Kind.ROUTE,
                f"{route.path}: no URL pattern was found that leads to {route.view}",
                f"write it into {here.package}/urls.py",
            )
        )
    names: dict[str, str] = {}
    lines: list[str] = []
    links = list(_links(here, chosen))
    module.links = {id(one) for one in links}
    order = {id(one): number for number, one in enumerate(here.described.urls)}
    chosen = sorted([*chosen, *links], key=lambda one: order[id(one)])
    if admin:
        module.imports["from django.contrib import admin"] = None
        module.of_django.add("path")
        mounted = next(iter(here.described.admins), "/admin/").lstrip("/") or "admin/"
        lines.append(f"path({text(mounted)}, admin.site.urls),")
    plain = [one for one in chosen if one.chain[0].kind != "language"]
    prefixed = [one for one in chosen if one.chain[0].kind == "language"]
    lines += _spaced(here, module, names, plain, skip=0)
    if not admin:
        lines += _admin(here, module)
    body = ["urlpatterns = [", *(f"    {line}" for line in lines), "]"] if lines else ["urlpatterns = []"]
    if prefixed:
        module.imports["from django.conf.urls.i18n import i18n_patterns"] = None
        inner = _spaced(here, module, names, prefixed, skip=1)
        too = prefixed[0].chain[0].default_too
        said = [] if too else ["    prefix_default_language=False,"]
        body += ["urlpatterns += i18n_patterns(", *(f"    {line}" for line in inner), *said, ")"]
    return _text(here, module, body), tuple(module.decisions)


def _chosen(here: Surroundings) -> tuple[list[Mounted], list[TakenRoute]]:
    """The patterns that lead to taken routes, in the project's order, and routes to which none does."""
    found: dict[int, Mounted] = {}
    missing = []
    for route in here.source.routes:
        fitting = [
            (number, one)
            for number, one in enumerate(here.described.urls)
            if one.view == route.view and _leads(one, route.path)
        ]
        fitting = fitting or [
            (number, one)
            for number, one in enumerate(here.described.urls)
            if one.view == route.view and route.name and one.name == route.name.rpartition(":")[2]
        ]
        if not fitting:
            missing.append(route)
        found.update(fitting)
    return [found[number] for number in sorted(found)], missing


def _leads(one: Mounted, path: str) -> bool:
    """Whether the route stands for the pattern: variables have no names there, a star takes the rest, and a language
    or a slash at the end makes a second route of it."""
    template = one.template.rstrip("/")
    plain = _VARIABLE.sub("{}", path).rstrip("/")
    if one.chain[0].kind == "language":
        return (
            plain == template
            or plain.partition("/")[2].partition("/")[2] == template.lstrip("/")
            or (_without_first(plain) == _without_first(template))
        )
    if plain.endswith("*"):
        return template.startswith(plain[:-1]) or f"{template}/".startswith(plain[:-1])
    return plain == template


def _without_first(path: str) -> str:
    return path.lstrip("/").partition("/")[2]


def _links(here: Surroundings, chosen: Sequence[Mounted]) -> Iterator[Mounted]:
    """Patterns of routes that stay, whose names the taken code, its templates or a package's write."""
    taken = {id(one) for one in chosen}
    have = {_whole(one) for one in chosen}
    for one in here.described.urls:
        name = _whole(one)
        is_new = name not in have or name in here.source.named  # with other words a package may mean this one
        if one.name and id(one) not in taken and is_new and here.names_url(name):
            yield one


def _whole(one: Mounted) -> str:
    return ":".join([*(instance for _, instance in one.spaces), one.name])


def _admin(here: Surroundings, module: Module) -> Iterator[str]:
    """The names of the admin which stays, as far as they are written; Django makes its paths of the models' names."""
    mounted = next(iter(here.described.admins), "").lstrip("/")
    models = {table.model.lower().replace(".", "_", 1): table.model.lower().replace(".", "/", 1)
              for table in here.described.tables if table.model}  # fmt: skip
    paths = {"index": "", **{name: f"{name}/" for name in ("login", "logout", "password_change")}}
    for name, path in models.items():
        paths |= {f"{name}_changelist": f"{path}/", f"{name}_add": f"{path}/add/"}
        paths |= {f"{name}_{act}": f"{path}/<path:object_id>/{act}/" for act in ("change", "delete", "history")}
    found = [(name, path) for name, path in paths.items() if here.names_url(f"admin:{name}")] if mounted else []
    if not found:
        return
    module.is_linking = True
    module.of_django |= {"include", "path"}
    yield 'path("", include(('
    yield "    ["
    for name, path in found:
        yield f"        path({text(mounted + path)}, elsewhere, name={text(name)}),"
    yield "    ],"
    yield '    "admin",'
    yield "))),"


def _spaced(
    here: Surroundings, module: Module, names: dict[str, str], chosen: Sequence[Mounted], *, skip: int, depth: int = 0
) -> list[str]:
    """The patterns, those of a namespace together: Django finds the names of its first `include` only. Those of one
    that stand apart get an `include` each: the first that fits answers, so that their order must not change."""
    lines: list[str] = []
    for space, group in groupby(chosen, key=lambda one: one.spaces[depth] if len(one.spaces) > depth else None):
        if space is None:
            lines += [line for one in group for line in _pattern(here, module, names, one, skip)]
            continue
        application, instance = space
        module.of_django |= {"include", "path"}
        said = f", namespace={text(instance)}" if instance != application else ""
        lines += [
            'path("", include((',
            "    [",
            *(f"        {line}" for line in _spaced(here, module, names, list(group), skip=skip, depth=depth + 1)),
            "    ],",
            f"    {text(application)},",
            f"){said})),",
        ]
    return lines


def _pattern(here: Surroundings, module: Module, names: dict[str, str], one: Mounted, skip: int) -> Iterator[str]:
    pieces = _merged(one.chain[skip:])
    is_link = id(one) in module.links
    unknown = [name for piece in pieces for name, cls in piece.converters.items() if not cls or here.is_left(cls)]
    if unknown and is_link:
        return
    if unknown:
        module.decisions.append(
            Decision(
                one.place,
                Kind.ROUTE,
                f"{one.template}: its path converter {', '.join(unknown)} did not come along",
                f"register one in {here.package}/urls.py, and write the pattern there; or leave it to the monolith",
            )
        )
        yield from _comment(f"Left out: {one.template}, whose converter {', '.join(unknown)} is not here.")
        return
    if any(piece.translated for piece in one.chain):
        module.decisions.append(
            Decision(one.place, Kind.ROUTE, f"{one.template}: its path is translated; it was written in one language",
                     f"wrap it in gettext_lazy in {here.package}/urls.py, and take the translations along"),
        )  # fmt: skip
    for piece in pieces:
        module.converters.update(piece.converters)
    view: Expression = "elsewhere"
    kwargs = [python(dict(one.kwargs))] if one.kwargs and not is_link else []
    if is_link:
        module.is_linking = True
    else:
        _doubts(here, module, one)
        view = _wrapped(module, one, _view(module, names, one))
    name = [f"name={text(one.name)}"] if one.name else []
    last = pieces[-1]
    module.of_django.add(_function(last))
    call: Call = (f"{_function(last)}(", [_route(last), view, *kwargs, *name], ")")
    for piece in reversed(pieces[:-1]):
        module.of_django |= {"include", _function(piece)}
        call = (f"{_function(piece)}(", [_route(piece), ("include([", [call], "])")], ")")
    yield from _lines(call, DEPTH * (1 + 2 * len(one.spaces)), ",")


def _doubts(here: Surroundings, module: Module, one: Mounted) -> None:
    if not {*one.wrapped} <= PLAIN:
        module.decisions.append(
            Decision(
                one.place,
                Kind.ROUTE,
                f"{one.template}: the project's URLs wrap the view in {', '.join(one.wrapped)}, the service's do not",
                f"wrap it in {here.package}/urls.py too, if it matters",
            )
        )
    if one.untold:
        module.decisions.append(
            Decision(
                one.place,
                Kind.ROUTE,
                f"{one.template}: the pattern gives its view {', '.join(one.untold)}, which could not be copied",
                f"give it in {here.package}/urls.py",
            )
        )
    if not here.comes_along(one.view) and here.is_left(one.view):
        module.decisions.append(
            Decision(one.place, Kind.ROUTE, f"{one.template}: its view {one.view} did not come along", "take it along")
        )


def _merged(chain: Sequence[Piece]) -> list[Piece]:
    """Neighbours of one kind as one, and without what is empty."""
    merged: list[Piece] = []
    for piece in chain:
        if merged and merged[-1].kind == piece.kind == "path":
            before = merged.pop()
            merged.append(Piece("path", before.text + piece.text, converters={**before.converters, **piece.converters}))
        elif merged and not merged[-1].text:
            merged[-1] = piece
        else:
            merged.append(piece)
    if len(merged) > 1 and merged[-1].kind == "path" and not merged[-1].text and merged[-2].kind == "path":
        merged.pop()
    return merged or [Piece("path", "")]


def _function(piece: Piece) -> str:
    return "re_path" if piece.kind == "regex" else "path"


def _route(piece: Piece) -> str:
    if piece.kind != "regex":
        return text(piece.text)
    if '"' not in piece.text and not piece.text.endswith("\\") and "\n" not in piece.text:
        return f'r"{piece.text}"'
    return repr(piece.text)


def _lines(call: Expression, indent: int, end: str) -> list[str]:
    """The expression in one line if that fits, else with a line for each argument."""
    line = _flat(call) + end
    if isinstance(call, str) or indent + len(line) <= WIDTH:
        return [line]
    first, parts, last = call
    inner = [line for part in parts for line in _lines(part, indent + DEPTH, ",")]
    return [first, *(f"{' ' * DEPTH}{line}" for line in inner), f"{last}{end}"]


def _flat(call: Expression) -> str:
    return call if isinstance(call, str) else f"{call[0]}{', '.join(map(_flat, call[1]))}{call[2]}"


def _view(module: Module, names: dict[str, str], one: Mounted) -> Expression:
    """The expression of the view; it is imported by its module, under a name that no other module has."""
    package, _, attribute = one.view.rpartition(".")
    called = names.get(package)
    if called is None:
        parent, _, last = package.rpartition(".")
        called = last if last not in names.values() else package.replace(".", "_")
        names[package] = called
        said = "" if called == last else f" as {called}"
        module.imports[f"from {parent} import {last}{said}" if parent else f"import {last}{said}"] = None
    if one.kind == "function":
        return f"{called}.{attribute}"
    words: list[Expression] = [python(dict(one.actions))] if one.actions else []
    words += [f"{name}={python(value)}" for name, value in one.given.items() if _is_word(name, value)]
    return f"{called}.{attribute}.as_view(", words, ")"


def _wrapped(module: Module, one: Mounted, view: Expression) -> Expression:
    for name in reversed(one.wrapped):
        if name in PLAIN:
            package, _, decorator = name.rpartition(".")
            module.imports[f"from {package} import {decorator}"] = None
            view = (f"{decorator}(", [view], ")")
    return view


def _is_word(name: str, value: Any) -> bool:
    return name.isidentifier() and value is not None


def _comment(words: str) -> Iterator[str]:
    yield f"# {words}"


def _text(here: Surroundings, module: Module, body: Sequence[str]) -> str:
    rest = here.imports_of("rest_framework")
    head = ['"""Every address of the service."""', "", "from __future__ import annotations", ""]
    imports = dict(module.imports)
    if rest:
        imports[f"from chassis.rest.answers import {', '.join(HANDLERS)}"] = None
    if module.converters:
        module.of_django.add("register_converter")
    if module.of_django:
        imports[f"from django.urls import {', '.join(sorted(module.of_django))}"] = None
    classes: Mapping[str, str] = module.converters
    for cls in classes.values():
        package, _, name = cls.rpartition(".")
        imports[f"from {package} import {name}"] = None
    if module.is_linking:
        imports["from django.http import Http404, HttpRequest, HttpResponse"] = None
    head += [*_sorted(here, imports), ""]
    if rest:
        head += ["# Django looks for them here.", f"__all__ = [{', '.join(map(text, [*HANDLERS, 'urlpatterns']))}]", ""]
    if module.is_linking:
        head += ELSEWHERE
    registered = [
        f"register_converter({cls.rpartition('.')[2]}, {text(name)})" for name, cls in module.converters.items()
    ]
    return "\n".join([*head, *registered, *([""] if registered else []), *body, ""])


def _sorted(here: Surroundings, imports: Mapping[str, None]) -> list[str]:
    own = [one for one in imports if one.split()[1].partition(".")[0] in here.own_modules]
    other = [one for one in imports if one not in own]
    order = lambda line: (line.startswith("from "), line.lower())  # noqa: E731
    parts = [sorted(each, key=order) for each in (other, own) if each]
    return [line for number, part in enumerate(parts) for line in ([""] * bool(number) + part)]
