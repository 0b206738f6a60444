"""Ports: what taken code asks of modules that did not come along, as classes with exactly the calls that are made."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from strangler.extract.code.modules import Import as Imported
from strangler.extract.code.modules import Module, dotted
from strangler.extract.code.plan import Import
from strangler.extract.code.scope import Crossed, Scope, attributes

FOLDER = "ports"
# What annotations of a port may name, with where it comes from.
_KNOWN = {
    **dict.fromkeys(("Callable", "Collection", "Iterable", "Iterator", "Mapping", "Sequence"), "collections.abc"),
    **dict.fromkeys(("date", "datetime", "timedelta"), "datetime"),
    "Decimal": "decimal",
    "UUID": "uuid",
    "Any": "typing",
}
_BUILTIN = frozenset(dir(builtins))


@dataclass(slots=True)
class Asked:
    """One name of a foreign module, with the places that use it."""

    name: str
    places: list[str] = field(default_factory=list)
    direct: bool = False  # imported by its own name
    decorates: bool = False
    extended: bool = False  # a class here is derived from it
    nested: set[str] = field(default_factory=set)  # attributes that are used of a class


@dataclass(slots=True)
class Port:
    """What one app asks of another. ``asked`` is by foreign module and name."""

    module: str
    other: str
    caller: str
    asked: dict[str, dict[str, Asked]] = field(default_factory=dict)
    roots: dict[str, set[str]] = field(default_factory=dict)  # what `import a.b` binds, with the modules below it


def port_of(scope: Scope, crossed: Crossed) -> tuple[str, str, str]:
    """The port's module, what is asked, and who asks."""
    app = scope.app_of(crossed.module.name)
    package = app.module if app else crossed.module.name.split(".")[0]
    theirs = scope.app_of(crossed.target.module)
    parts = crossed.target.module.split(".")
    other = theirs.label if theirs and theirs.own else parts[0]
    if theirs is not None and theirs == app and len(parts) > 1:
        other = "rest"
    folder = FOLDER if scope.code.find(f"{package}.{FOLDER}") is None else f"service_{FOLDER}"
    return f"{package}.{folder}.{other}", other, app.label if app else package


def ports(scope: Scope, crossed: Iterable[Crossed]) -> tuple[dict[str, Port], dict[Crossed, tuple[Import, ...]]]:
    """All ports by module, and what each import becomes."""
    found: dict[str, Port] = {}
    instead: dict[Crossed, tuple[Import, ...]] = {}
    for one in crossed:
        name, other, caller = port_of(scope, one)
        port = found.setdefault(name, Port(name, other, caller))
        imports = [
            each for each in scope.code.imports(one.module)
            if each.line == one.line and each.bound == one.bound
        ]  # fmt: skip
        written = imports[0] if imports else Imported(one.line, one.bound, one.target, False, False, False)
        names = port.asked.setdefault(one.target.module, {})
        nodes = [each.node for each in scope.statements(one.module)]
        if one.target.name:
            bound = one.target.name if one.bound == "*" else one.bound
            asked = names.setdefault(one.target.name, Asked(one.target.name))
            asked.direct = True
            _note(asked, one.module, nodes, bound)
            instead[one] = (Import(name, one.target.name, bound),)
            continue
        for attribute in attributes(written, nodes):
            asked = names.setdefault(attribute, Asked(attribute))
            prefix = one.target.module if written.whole else one.bound
            _note(asked, one.module, nodes, f"{prefix}.{attribute}")
        if written.whole:
            port.roots.setdefault(one.bound, set()).add(one.target.module)
            instead[one] = (Import(name, one.bound, one.bound),)
        else:
            instead[one] = (Import(name, _variable(port, one.target.module), one.bound),)
    return found, instead


def _note(asked: Asked, module: Module, nodes: Sequence[ast.AST], spelled: str) -> None:
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, (ast.Name, ast.Attribute)):
                text = dotted(each)
                if text == spelled:
                    place = module.place(each)
                    if place not in asked.places:
                        asked.places.append(place)
                elif text.startswith(f"{spelled}."):
                    asked.nested.add(text.removeprefix(f"{spelled}.").split(".")[0])
            asked.extended = asked.extended or any(dotted(base) == spelled for base in getattr(each, "bases", ()))
            for decorator in getattr(each, "decorator_list", []):
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                asked.decorates = asked.decorates or dotted(called) == spelled


def _variable(port: Port, module: str) -> str:
    """What the port calls the object that stands for a module."""
    last = module.rpartition(".")[2]
    same = sorted(each for each in port.asked if each.rpartition(".")[2] == last)
    return last if same[:1] == [module] else module.replace(".", "_")


def _class_name(variable: str) -> str:
    return "".join(part.title() for part in variable.split("_")) or "Asked"


def port_file(scope: Scope, port: Port) -> str:
    """The port's text."""
    parts: list[str] = []
    needs: dict[str, set[str]] = {"typing": {"Any", "Protocol"}}
    base = port.module.rpartition(".")[0]
    used: set[str] = set()
    for name in sorted(port.asked):
        module = scope.code.find(name)
        names = port.asked[name]
        things = {each: _statement(module, each) for each in names}
        others = {each: node for each, node in things.items() if not _is_function(node)}
        for each, node in others.items():
            parts.append(_thing(names[each], name, module, node, used))
        functions = {each: node for each, node in things.items() if _is_function(node)}
        as_module = any(not asked.direct for asked in names.values()) or bool(functions) or not names
        if as_module:
            parts.append(_adapters(port, name, names, functions=functions, others=list(others), needs=needs, used=used))
    for root, modules in sorted(port.roots.items()):
        needs.setdefault("types", set()).add("SimpleNamespace")
        parts.append(_tree(port, root, sorted(modules)))
    if "_client()" in "".join(parts):
        parts.append(
            f"def _client() -> Client:\n"
            f'    return Client("{port.other}", settings.INTERNAL_URL, caller="{port.caller}", '
            f"timeout=1.0, within=2.0, attempts=2)"
        )
    head = [f'"""What {port.caller} asks of {port.other}, which is elsewhere.\n',
            "Each object below stands for a module, and has the calls that are made. At first each of them raises: let",
            "a `Remote…` take its place when the other side answers at its paths.", '"""', "",
            "from __future__ import annotations", ""]  # fmt: skip
    for source in sorted(needs):
        head.append(f"from {source} import {', '.join(sorted(needs[source]))}")
    head.append("")
    if "_client()" in "".join(parts):
        head += ["from chassis.calls.client import Client", "from django.conf import settings"]
    if "(models." in "".join(parts):
        head.append("from django.db import models")
    if used:
        head += ["", f"from {base} import {', '.join(sorted(used))}"]
    return "\n".join(head) + "\n\n\n" + "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _statement(module: Module | None, name: str) -> ast.AST | None:
    found = module.binders.get(name, ()) if module else ()
    for statement in found:
        for each in ast.walk(statement.node):
            if isinstance(each, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == name:
                return each
    return found[0].node if found else None


def _is_function(node: ast.AST | None) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _thing(
    asked: Asked,
    origin: str,
    module: Module | None,
    node: ast.AST | None,
    used: set[str],
) -> str:
    """A class or a value: as it is where it needs nothing, else something that raises."""
    if module is not None and isinstance(node, ast.ClassDef) and _free(node) <= _BUILTIN:
        return _source(module, node)
    if module is not None and isinstance(node, (ast.Assign, ast.AnnAssign)) and _free(node) <= _BUILTIN | {asked.name}:
        return _source(module, node)
    kind = "ElsewhereBase" if asked.extended else "Elsewhere"
    used.add(kind)
    inner = []
    for each in node.body if isinstance(node, ast.ClassDef) and module is not None else ():
        is_used = isinstance(each, ast.ClassDef) and each.name in asked.nested
        if is_used and _free(each) <= _BUILTIN | {"models"} and module is not None:
            inner.append(f"\n\n    {_source(module, each)}")
    text = f"{origin}.{asked.name}, which is elsewhere: whatever is asked of it raises ElsewhereError."
    if asked.extended:
        text = f"{origin}.{asked.name}, which is elsewhere: classes that extend it have nothing of it."
    return (
        f'class {asked.name}({kind}):\n    """{text}\n\n    {_places(asked)}\n    """\n\n'
        f'    origin = "{origin}.{asked.name}"{"".join(inner)}'
    )


def _source(module: Module, node: ast.AST) -> str:
    return ast.get_source_segment(module.text, node) or ast.unparse(node)


def _free(node: ast.AST) -> set[str]:
    """Names that a class or a value has from outside of it."""
    bound = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    bound |= {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    bound |= {each.name for each in ast.walk(node) if isinstance(each, (ast.ClassDef, ast.FunctionDef))}
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
    return used - bound


def _adapters(
    port: Port,
    origin: str,
    names: Mapping[str, Asked],
    *,
    functions: Mapping[str, ast.AST | None],
    others: Sequence[str],
    needs: dict[str, set[str]],
    used: set[str],
) -> str:
    variable = _variable(port, origin)
    cls = _class_name(variable)
    protocol, missing, remote = [], [], []
    for name in sorted(functions):
        node = functions[name]
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        signature, returns, sent = _signature(node, needs)
        head = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {name}({signature}) -> {returns}:"
        said = (ast.get_docstring(node) or "").strip().split("\n")[0].replace('"""', "")
        about = f'"""{said or f"See {origin}.{name}."}\n\n        {_places(names[name])}\n        """'
        protocol.append(f"    {head}\n        {about}\n        ...")
        if names[name].decorates:
            used.add("refused")
            bare = f"def {name}(self, *args: Any, **kwargs: Any) -> Any:"
            missing.append(f'    {bare}\n        return refused("{origin}.{name}", *args)')
            remote.append(f'    {bare}\n        return refused("{origin}.{name}", *args)')
        else:
            used.add("ElsewhereError")
            missing.append(f'    {head}\n        raise ElsewhereError("{origin}.{name}")')
            path = f"/internal/{port.other}/{variable}/{name}".replace("_", "-")
            remote.append(f'    {head}\n        return _client().post("{path}", json={sent}).json()')
    values = [f"    {name} = {name}" for name in sorted(others)]
    body = "\n".join(values) + ("\n\n" if values and protocol else "") + "\n\n".join(protocol)
    text = [
        f'class {cls}(Protocol):\n    """What is asked of {origin}."""\n\n{body or "    ..."}',
        f'class Missing{cls}({cls}):\n    """Nobody answers yet: a person has to decide who does."""'
        + "".join(f"\n\n{each}" for each in missing),
    ]
    if remote:
        text.append(
            f'class Remote{cls}({cls}):\n    """Asks the owner over HTTP. A sketch: its paths, and what is sent and '
            f'answered, are to be agreed on with {port.other}."""' + "".join(f"\n\n{each}" for each in remote)
        )
    lines = [f"{variable}: {cls} = Missing{cls}()"]
    lines += [f"{name} = {variable}.{name}" for name in sorted(functions) if names[name].direct]
    return "\n\n\n".join([*text, "\n".join(lines)])


def _tree(port: Port, root: str, modules: Sequence[str]) -> str:
    tree: dict[str, object] = {}
    for module in modules:
        inner: dict[str, object] = tree
        parts = module.split(".")[1:]
        for part in parts[:-1]:
            following = inner.setdefault(part, {})
            if not isinstance(following, dict):
                break
            inner = following
        inner[parts[-1] if parts else ""] = _variable(port, module)
    return f"{root} = {_spaces(tree)}"


def _spaces(tree: Mapping[str, object]) -> str:
    inner = [f"{name}={_spaces(each) if isinstance(each, dict) else each}" for name, each in tree.items() if name]
    return f"SimpleNamespace({', '.join(inner)})"


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, needs: dict[str, set[str]]) -> tuple[str, str, str]:
    """Arguments with `self`, what is returned, and the dictionary of what is sent."""
    given = node.args
    pieces, sent = ["self"], []
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    for position, (arg, default) in enumerate(zip(plain, defaults, strict=True)):
        pieces.append(_parameter(arg, default, needs))
        sent.append(f'"{arg.arg}": {arg.arg}')
        if given.posonlyargs and position == len(given.posonlyargs) - 1:
            pieces.append("/")
    if given.vararg:
        pieces.append(f"*{given.vararg.arg}: Any")
        sent.append(f'"{given.vararg.arg}": {given.vararg.arg}')
    elif given.kwonlyargs:
        pieces.append("*")
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        pieces.append(_parameter(arg, default, needs))
        sent.append(f'"{arg.arg}": {arg.arg}')
    if given.kwarg:
        pieces.append(f"**{given.kwarg.arg}: Any")
        sent.append(f"**{given.kwarg.arg}")
    return ", ".join(pieces), _annotation(node.returns, needs), "{" + ", ".join(sent) + "}"


def _parameter(arg: ast.arg, default: ast.expr | None, needs: dict[str, set[str]]) -> str:
    text = f"{arg.arg}: {_annotation(arg.annotation, needs)}"
    if default is None:
        return text
    return f"{text} = {ast.unparse(default) if _free(default) <= _BUILTIN else '...'}"


def _annotation(node: ast.expr | None, needs: dict[str, set[str]]) -> str:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node is not None else set()
    texts = (
        any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in ast.walk(node)) if node else 0
    )
    if node is None or texts or not names <= _BUILTIN | _KNOWN.keys():
        return "Any"
    for name in names & _KNOWN.keys():
        needs.setdefault(_KNOWN[name], set()).add(name)
    return ast.unparse(node)


def _places(asked: Asked) -> str:
    shown = ", ".join(asked.places[:6]) or "nowhere by name"
    more = len(asked.places) - 6
    return f"Used at {shown}{f' and {more} more' if more > 0 else ''}."


ELSEWHERE = '''"""What this app asks of others, which are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist

_LATER = {"all", "annotate", "defer", "distinct", "exclude", "filter", "none", "only", "order_by"}
_LATER |= {"prefetch_related", "select_for_update", "select_related", "using", "values", "values_list"}


class ElsewhereError(Exception):
    """Something was asked of code that this service does not have; it says which."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not in this service: let a port in this folder ask its owner")


class _Rows:
    """Rows of a model that is elsewhere. They can be narrowed, as classes do when they are made; asking raises."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name in _LATER:
            return lambda *args, **kwargs: self
        raise ElsewhereError(f"{self._what}.{name}")

    def _refuse(self, *args: Any) -> NoReturn:
        raise ElsewhereError(self._what)

    __bool__ = __contains__ = __getitem__ = __iter__ = __len__ = __or__ = __and__ = _refuse


class ElsewhereBase:
    """A class of another app which one here extends: plain, so that it can stand beside classes of any kind."""


class _Class(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("objects", "_default_manager"):
            return _Rows(f"{cls.origin}.{name}")
        raise ElsewhereError(f"{cls.origin}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise ElsewhereError(cls.origin)


class Elsewhere(metaclass=_Class):
    """A class of another app. It can be named, but not made or asked."""

    origin = "a class of another app"

    class DoesNotExist(ObjectDoesNotExist):
        pass

    class MultipleObjectsReturned(MultipleObjectsReturned):
        pass


def refused(what: str, *decorated: Any) -> Any:
    """What stands for a decorator that is elsewhere: the function that it decorates raises when it is called."""

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise ElsewhereError(what)

        return refuse

    return decorator(decorated[0]) if len(decorated) == 1 and callable(decorated[0]) else decorator
'''
