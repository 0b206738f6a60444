"""Functions whose answer is known, so that they are not read: Django's shortcuts, Python's own, the chassis' own."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldError
from django.db import transaction
from django.db.models import Model
from django.forms import modelform_factory

from chassis.inspection import hints, orm
from chassis.inspection.lookup import attribute, find, user_model
from chassis.inspection.reading import Arguments, layers, module_of
from chassis.inspection.values import Asked, Known, Of, Rows, Several, Values, elements, is_model, union

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame


def special(thing: Any) -> Callable[[Frame, Arguments, ast.Call], Values] | None:
    """How the call of a function is answered without reading it; None where it has to be read."""
    name = getattr(thing, "__qualname__", None)
    if not isinstance(name, str):
        return None
    module = getattr(thing, "__module__", "") or ""
    found = _SPECIAL.get((module, name))
    if found is None and thing is transaction.atomic:
        return _atomic
    return found


def _first_row(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    frame.summary.asks = frame.summary.asks or "a shortcut"
    models = _models(arguments.first())
    for model in models:
        for each in (model, *orm.named_in(model, "get", node)):
            frame.read(orm.tables_of(each), f"a shortcut for {model.__name__}", node, sure=True)
    return tuple(Of(model) for model in models)


def _models(values: Values) -> list[type[Model]]:
    models = [value.model for value in values if isinstance(value, Rows)]
    return models + [value.thing for value in values if isinstance(value, Known) and is_model(value.thing)]


def _rows_of_first(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return tuple(Several(((row,),)) for row in _first_row(frame, arguments, node))


def _account(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    model = user_model()
    return (Known(model),) if model else ()


def _account_row(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    model = user_model()
    if model is not None:
        frame.read(orm.tables_of(model), "get_user()", node, sure=True)
    return (Of(model, guessed=True),) if model else ()


def _authenticated(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    """Each backend is asked. Django's own hash the password anew, and save it, when the hasher's strength has grown."""
    for name in settings.AUTHENTICATION_BACKENDS:
        module, _, cls = name.rpartition(".")
        backend: Any = getattr(module_of(module), cls, None)
        raw, holder = find(backend, "authenticate") if isinstance(backend, type) else (None, None)
        for layer in layers(raw):
            given = Arguments(arguments.positional, arguments.keywords).after(Of(backend))
            frame.absorb(frame.reader.run(layer, given, holder), node)
    return _account_row(frame, arguments, node)


def _is_open(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    named = [value.thing for value in arguments.first() if isinstance(value, Known) and isinstance(value.thing, str)]
    return tuple(Asked(name) for name in named) or (Asked("*"),)


def _awaited_row(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return tuple(Of(model) for model in _models(arguments.first()))


def _atomic(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    for word in node.keywords:
        if word.arg == "durable" and isinstance(word.value, ast.Constant) and word.value.value is True:
            frame.summary.durable.add(frame.place(node))
    return arguments.first()


def _same(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return arguments.first()


def _collected(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return (Several((elements(arguments.first()),)),)


def _element(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return elements(arguments.first())


def _numbered(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return (Several((_pair(((), elements(arguments.first()))),)),)


def _pair(items: tuple[Values, ...]) -> Values:
    return (Several(items),)


def _zipped(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return (Several((_pair(tuple(elements(values) for values in arguments.positional)),)),)


def _class_of(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return tuple(Known(value.cls) for value in arguments.first() if isinstance(value, Of))


def _cast(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return hints.meaning(frame, node.args[0]) if node.args else ()


def _getattr(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    name = node.args[1] if len(node.args) > 1 else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        found = union(*(attribute(frame, value, name.value) for value in arguments.first()))
        if found:
            return found
    if frame.own:
        frame.reader.dynamic.add(frame.place(node))
    return ()


def _named_model(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    names = [value.thing for values in arguments.positional for value in values if isinstance(value, Known)]
    try:
        return (Known(apps.get_model(*names)),)
    except (LookupError, ValueError, TypeError, AttributeError):
        return ()


def _imported(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    for value in arguments.first():
        if isinstance(value, Known) and isinstance(value.thing, str):
            module, _, name = value.thing.rpartition(".")
            try:
                return (Known(getattr(importlib.import_module(module), name)),)
            except (ImportError, AttributeError, ValueError):
                return ()
    return ()


def _form_class(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return tuple(Known(_form_of(model, arguments)) for model in _models(arguments.first()))


def _form_of(model: type[Model], arguments: Arguments) -> type:
    """The form with the fields that are given, as far as they are known."""
    for value in dict(arguments.keywords).get("fields", ()):
        if isinstance(value, Known) and (value.thing == "__all__" or isinstance(value.thing, list | tuple)):
            try:
                return modelform_factory(model, fields=value.thing)
            except (FieldError, ValueError):
                break
    return modelform_factory(model, fields=[])


def _partial(frame: Frame, arguments: Arguments, node: ast.Call) -> Values:
    return arguments.first()


_SPECIAL: Mapping[tuple[str, str], Callable[[Frame, Arguments, ast.Call], Values]] = {
    ("django.shortcuts", "get_object_or_404"): _first_row,
    ("django.shortcuts", "aget_object_or_404"): _first_row,
    ("rest_framework.generics", "get_object_or_404"): _first_row,
    ("django.shortcuts", "get_list_or_404"): _rows_of_first,
    ("django.contrib.auth", "get_user_model"): _account,
    ("django.contrib.auth", "get_user"): _account_row,
    ("django.contrib.auth", "authenticate"): _authenticated,
    ("chassis.ownership.owners", "is_open"): _is_open,
    ("chassis.ownership.seam", "await_row"): _awaited_row,
    ("django.db.transaction", "atomic"): _atomic,
    ("django.apps.registry", "Apps.get_model"): _named_model,
    ("django.utils.module_loading", "import_string"): _imported,
    ("django.forms.models", "modelform_factory"): _form_class,
    ("asgiref.sync", "sync_to_async"): _same,
    ("asgiref.sync", "async_to_sync"): _same,
    ("asgiref.sync", "SyncToAsync"): _same,
    ("asgiref.sync", "AsyncToSync"): _same,
    ("functools", "partial"): _partial,
    ("typing", "cast"): _cast,
    ("copy", "copy"): _same,
    ("copy", "deepcopy"): _same,
    ("builtins", "getattr"): _getattr,
    ("builtins", "type"): _class_of,
    ("builtins", "list"): _collected,
    ("builtins", "tuple"): _collected,
    ("builtins", "set"): _collected,
    ("builtins", "sorted"): _collected,
    ("builtins", "reversed"): _collected,
    ("builtins", "iter"): _collected,
    ("builtins", "filter"): _collected,
    ("builtins", "next"): _element,
    ("builtins", "min"): _element,
    ("builtins", "max"): _element,
    ("builtins", "enumerate"): _numbered,
    ("builtins", "zip"): _zipped,
}
