"""From where the project's code is entered: views, by method, with all that Django and REST framework call for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from chassis.inspection import sources, urls
from chassis.inspection.lookup import find
from chassis.inspection.reading import NO_ARGUMENTS, Arguments, Reader, Summary, layers, together
from chassis.inspection.values import Known, Of, Request

# Of a class of views, what runs for every method; only where the project has its own is there anything to read.
_AROUND = ("setup", "dispatch", "initial", "initialize_request", "finalize_response", "handle_exception")
_GUARDS = {
    "authentication_classes": ("authenticate",),
    "permission_classes": ("has_permission", "has_object_permission"),
    "throttle_classes": ("allow_request",),
}


def view(reader: Reader, callback: Any, method: str) -> Summary:
    """What a view does with a request of this method."""
    reader.method = method
    try:
        cls = urls.class_of(callback)
        if cls is None:
            return function(reader, callback, Arguments(((Request(method),),), rest=True))
        return _class(reader, callback, cls, method)
    finally:
        reader.method = None


def function(reader: Reader, thing: Any, arguments: Arguments = NO_ARGUMENTS) -> Summary:
    """What a callable does, with its decorators."""
    kinds = list(layers(thing))
    if not kinds:
        raw, holder = find(type(thing), "__call__")
        return reader.run(raw, arguments.after(Of(type(thing))), holder) if isinstance(raw, FunctionType) else Summary()
    method = _method(thing)
    if method is None:
        return together(*(reader.run(layer, arguments) for layer in kinds))
    owner, bound = Of(type(method.__self__)), list(layers(method))
    # What was put around a method after it had been bound is not given the object.
    return together(
        *(reader.run(layer, arguments.after(owner), find(owner.cls, layer.__name__)[1]) for layer in bound),
        *(reader.run(layer, arguments) for layer in kinds if layer not in bound),
    )


def method(reader: Reader, cls: type, name: str, arguments: Arguments = NO_ARGUMENTS, *, own: bool = False) -> Summary:
    """What a method of an instance does; with ``own`` nothing unless the project wrote it."""
    raw, holder = find(cls, name)
    found: list[Summary] = []
    for layer in layers(raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw):
        if own and sources.is_standard(layer.__code__.co_filename):
            continue
        if own and (layer.__module__ or "").startswith(("django.", "rest_framework.", "chassis.")):
            continue
        first = None if isinstance(raw, staticmethod) else Of(cls)
        found.append(reader.run(layer, arguments.after(first) if first else arguments, holder))
    return together(*found)


def _class(reader: Reader, callback: Any, cls: type, method_name: str) -> Summary:
    given = getattr(callback, "view_initkwargs", None) or getattr(callback, "initkwargs", None) or {}
    itself = Of(cls, tuple(sorted((name, Known(thing)) for name, thing in given.items()) if given else ()))
    name = urls.actions_of(callback).get(method_name) or ("get" if method_name == "HEAD" else "")
    arguments = Arguments(((Request(method_name),),), rest=True)
    found = [method(reader, cls, each, arguments, own=True) for each in _AROUND]
    found += [_guard(reader, cls, attribute, names, given) for attribute, names in _GUARDS.items()]
    raw, holder = find(cls, name) if name else (None, None)
    found += [reader.run(layer, arguments.after(itself), holder) for layer in layers(raw)]
    found += [reader.run(layer, arguments) for layer in _wrappers(callback)]
    return together(*found)


def _wrappers(callback: Any) -> Iterator[FunctionType]:
    """The decorators around a view that was made from a class."""
    for layer in layers(callback):
        if layer.__qualname__.endswith("as_view.<locals>.view") or "as_view" in layer.__code__.co_name:
            return
        if sources.is_own(layer.__code__.co_filename):
            yield layer


def _guard(reader: Reader, cls: type, attribute: str, names: tuple[str, ...], given: dict[str, Any]) -> Summary:
    classes = given.get(attribute, getattr(cls, attribute, None)) or ()
    arguments = Arguments(((Request(reader.method),),), rest=True)
    known = [each for each in classes if isinstance(each, type)]
    return together(*(method(reader, each, name, arguments, own=True) for each in known for name in names))


def _method(thing: Any) -> MethodType | None:
    """The bound method that it is, also where that was decorated after it had been bound, as the admin does."""
    for _ in range(20):
        if isinstance(thing, MethodType):
            return thing
        thing = thing.func if isinstance(thing, partial) else getattr(thing, "__wrapped__", None)
        if thing is None:
            break
    return None
