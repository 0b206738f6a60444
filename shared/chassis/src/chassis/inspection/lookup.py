"""What an attribute of a value is, without running any of the project's code to find out."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from chassis.inspection import hints, orm
from chassis.inspection.reading import NO_ARGUMENTS, layers
from chassis.inspection.values import Above, Bound, Known, Of, Request, Rows, Several, Value, Values, is_model, union

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame

MISSING = object()


def attribute(frame: Frame, value: Value, name: str) -> Values:
    """What ``value.name`` may be; nothing where that is not known."""
    match value:
        case Known():
            return _of_object(value, name)
        case Of():
            return _of_instance(frame, value, name)
        case Rows():
            return _of_rows(value, name)
        case Request():
            return _of_request(frame, value, name)
        case Above():
            return _above(value, name)
        case _:
            return ()


def item(value: Value, position: int | None) -> Values:
    """What ``value[position]`` may be; any of them without a position."""
    if isinstance(value, Rows):
        return (Of(value.model, under=value.under),)
    if isinstance(value, Several):
        if position is not None and -len(value.items) <= position < len(value.items) and len(value.items) > 1:
            return value.items[position]
        return union(*value.items)
    if isinstance(value, Known) and isinstance(value.thing, dict) and len(value.thing) <= 50:
        return tuple(Known(each) for each in value.thing.values() if callable(each))
    return ()


def method_of(cls: type, name: str) -> Values:
    """The method of an instance of the class."""
    raw, owner = find(cls, name)
    return _wrapped(raw, Of(cls), owner) if owner is not None else ()


def find(cls: type, name: str, *, after: type | None = None) -> tuple[Any, type | None]:
    """What the class has under this name, and the class of its line that has it; behind ``after`` in that line."""
    mro = cls.__mro__
    if after is not None:
        mro = mro[mro.index(after) + 1 :] if after in mro else ()
    for each in mro:
        if name in vars(each):
            return vars(each)[name], each
    return None, None


def written_model(cls: type) -> type[Model] | None:
    """The model that a form or serializer of this class writes, if it says so itself."""
    options = getattr(cls, "_meta", None)
    for holder in (getattr(cls, "Meta", None), options):
        model = getattr(holder, "model", None)
        if is_model(model) and not is_model(cls):
            return model
    return None


def user_model() -> type[Model] | None:
    """The model of accounts, or None where the project has none."""
    try:
        return get_user_model()
    except ImproperlyConfigured:
        return None


def as_value(thing: Any) -> Value:
    """An object of the running project. A lazy one is what it has become, and nothing as long as it is not made."""
    if issubclass(type(thing), LazyObject):
        thing = vars(thing).get("_wrapped", empty)
    return (orm.rows_of(thing) if orm.is_rows(thing) else None) or Known(thing)


def _of_object(value: Known, name: str) -> Values:
    thing = value.thing
    if isinstance(thing, ModuleType):
        found = vars(thing).get(name, MISSING)
        if found is MISSING:
            found = taken(thing, name)
        return () if found is MISSING else (as_value(found),)
    if isinstance(thing, type):
        raw, owner = find(thing, name)
        if is_model(thing) and (owner is None or type(raw).__name__ == "ManagerDescriptor"):
            found = taken(thing, name)
            return () if found is MISSING else (as_value(found),)
        if owner is None:
            raw, owner = find(type(thing), name)
        return _wrapped(raw, value, owner, called_on_class=True) if owner is not None else ()
    raw, owner = find(type(thing), name)
    if isinstance(raw, FunctionType | classmethod | staticmethod):
        return _wrapped(raw, value, owner)
    found = inspect.getattr_static(thing, name, MISSING)
    if found is MISSING or isinstance(found, property) or hasattr(type(found), "__get__"):
        found = taken(thing, name) if type(thing).__module__.startswith("django.") else MISSING
    return () if found is MISSING else (as_value(found),)


def taken(thing: Any, name: str) -> Any:
    """The attribute itself; Django's objects and modules have nothing that would do more than tell it."""
    try:
        return getattr(thing, name, MISSING)
    except Exception:  # noqa: BLE001
        return MISSING  # such as an application that is not loaded


def _of_instance(frame: Frame, value: Of, name: str) -> Values:
    for known, given in value.given:
        if known == name:
            return (as_value(given.thing),)
    if stored := frame.reader.stored.get((value.cls, value.given, name)):
        return stored
    raw, owner = find(value.cls, name)
    if is_model(value.cls):
        related = orm.attribute(value.cls, name, raw)
        if related is not None:
            return related
    if owner is None or name in ("instance", "object") or raw is None:
        return _told(frame, value, name)
    if isinstance(raw, property | functools.cached_property):
        return _read(frame, raw.fget if isinstance(raw, property) else raw.func, value, owner)
    return _wrapped(raw, value, owner)


def _told(frame: Frame, value: Of, name: str) -> Values:
    """What the class says of an attribute that only its instances have."""
    if name == "instance" and (model := written_model(value.cls)) is not None:
        return (Of(model, under=value.under),)
    if name == "request":
        return (Request(frame.reader.method, under=value.under),)
    if name == "__class__":
        return (Known(value.cls, value.under),)
    return hints.of_attribute(frame, value.cls, name)


def _read(frame: Frame, function: Any, owner: Value, cls: type) -> Values:
    found: Values = ()
    for layer in layers(function):
        summary = frame.reader.run(layer, NO_ARGUMENTS.after(owner), cls)
        frame.absorb(summary, layer)  # type: ignore[arg-type]
        found = union(found, summary.returns)
    return found


def _wrapped(raw: Any, value: Value, cls: type | None, *, called_on_class: bool = False) -> Values:
    """A class's attribute as it is seen through an instance, or through the class itself."""
    holder: Value | None = None if called_on_class else value
    if isinstance(raw, property):
        return ()
    if isinstance(raw, staticmethod):
        raw, holder = raw.__func__, None
    elif isinstance(raw, classmethod):
        raw = raw.__func__
        holder = value if called_on_class else Known(value.cls if isinstance(value, Of) else type(value))
    elif isinstance(raw, MethodType):
        holder = Known(raw.__self__)
    elif isinstance(raw, functools.partialmethod):
        raw = raw.func
    elif not isinstance(raw, FunctionType):
        return (as_value(raw),)
    return tuple(Bound(layer, holder, cls, value.under) for layer in layers(raw))


def _of_rows(value: Rows, name: str) -> Values:
    if name == "model":
        return (Known(value.model, value.under),)
    own = orm.method(value, name)
    return _wrapped(own[0], value, own[1]) if own else ()


def _of_request(frame: Frame, value: Request, name: str) -> Values:
    if name == "method":
        return (Known(value.method),) if value.method else ()
    if name == "_request":
        return (value,)
    if value.cls is not None and (told := hints.of_attribute(frame, value.cls, name)):
        return told
    model = user_model() if name == "user" else None
    if model is not None:
        return (Of(model, under=value.under, guessed=True),)
    return frame.reader.stored.get((HttpRequest, (), name), ())


def _above(value: Above, name: str) -> Values:
    owner = value.owner
    cls = owner.cls if isinstance(owner, Of) else owner.thing if isinstance(owner, Known) else None
    if isinstance(owner, Rows):
        cls = owner.manager
    if not isinstance(cls, type):
        return ()
    raw, found = find(cls, name, after=value.cls)
    if found is None:
        return ()
    return _wrapped(raw, owner, found) if owner is not None else ()
