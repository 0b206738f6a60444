"""What an annotation says of the values behind it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_origin

from django.db.models import QuerySet
from django.db.models.manager import BaseManager
from django.http import HttpRequest

from chassis.inspection.values import Known, Of, Request, Rows, Several, Values, is_model, union

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame

_PLAIN = (str, bytes, int, float, bool, dict, object)


def meaning(frame: Frame, node: ast.expr) -> Values:
    """What a value with this annotation may be."""
    match node:
        case ast.Constant(value=str() as text):
            try:
                return meaning(frame, ast.parse(text, mode="eval").body)
            except SyntaxError:
                return ()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return union(meaning(frame, left), meaning(frame, right))
        case ast.Subscript(value=base, slice=inner):
            return _generic(frame, frame.value(base), inner)
        case ast.Name() | ast.Attribute():
            return union(*(_instance(frame, value.thing) for value in frame.value(node) if isinstance(value, Known)))
        case _:
            return ()


def of_attribute(frame: Frame, cls: type, name: str) -> Values:
    """What the annotations in a class's body say of an attribute."""
    for each in cls.__mro__:
        told = vars(each).get("__annotations__")
        told = told if isinstance(told, dict) else {}
        if name not in told:
            continue
        if isinstance(told[name], str):
            inner = type(frame)(frame.reader, _file(each), vars(sys.modules.get(each.__module__, sys)))
            return meaning(inner, ast.Constant(told[name]))
        return _instance(frame, told[name])
    return ()


def _instance(frame: Frame, thing: Any) -> Values:
    if not isinstance(thing, type) or thing in _PLAIN or thing.__module__ == "typing":
        return ()
    if issubclass(thing, HttpRequest) or thing.__module__ == "rest_framework.request":
        return (Request(frame.reader.method, thing),)
    return (Of(thing),)


def _generic(frame: Frame, bases: Values, inner: ast.expr) -> Values:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    found: list[Values] = []
    for base in bases:
        thing = base.thing if isinstance(base, Known) else None
        thing = get_origin(thing) or thing
        name = getattr(thing, "__name__", None) or getattr(thing, "_name", "")
        if isinstance(thing, type) and issubclass(thing, QuerySet | BaseManager):
            models = [value.cls for value in meaning(frame, parts[0]) if isinstance(value, Of)]
            found += [(Rows(model, manager=thing),) for model in models if is_model(model)]
        elif name in ("Optional", "Union", "Annotated", "Final", "ClassVar"):
            found += [meaning(frame, part) for part in parts]
        elif name in ("tuple", "Tuple"):
            found.append((Several(tuple(meaning(frame, part) for part in parts)),))
        elif name in ("type", "Type"):
            found += [(Known(value.cls),) for value in meaning(frame, parts[0]) if isinstance(value, Of)]
        elif name in ("dict", "Dict", "Mapping"):
            found.append((Several((meaning(frame, parts[-1]),)),))
        elif isinstance(thing, type) and issubclass(thing, Iterable):
            found.append((Several((meaning(frame, parts[0]),)),))
        else:
            found += [_instance(frame, thing)]
    return union(*found)


def _file(cls: type) -> str:
    return str(getattr(sys.modules.get(cls.__module__), "__file__", "") or "")


def texts(values: Values) -> list[str]:
    """The texts among these."""
    return [value.thing for value in values if isinstance(value, Known) and isinstance(value.thing, str)]
