"""What forms and serializers do by their fields, without a line that says so: rows are offered, looked up and shown."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from chassis.inspection import orm, urls
from chassis.inspection.lookup import find, written_model
from chassis.inspection.reading import Arguments
from chassis.inspection.values import Of, is_model

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame


def made(frame: Frame, cls: type, node: ast.AST) -> None:
    """Notes what an object of the class does, if it is a form or a serializer."""
    for model in _offered(getattr(cls, "base_fields", None)):
        frame.read(orm.tables_of(model), f"the choices of {cls.__name__}", node, sure=True)
    declared = getattr(cls, "_declared_fields", None)
    if isinstance(declared, dict):
        _serialized(frame, cls, declared, node, ())


def _offered(fields: Any) -> Iterator[Any]:
    """The models whose rows a form's fields offer, or look up when they are filled in."""
    for field in fields.values() if isinstance(fields, dict) else ():
        if is_model(model := getattr(getattr(field, "queryset", None), "model", None)):
            yield model


def _serialized(frame: Frame, cls: type, declared: dict[str, Any], node: ast.AST, within: tuple[type, ...]) -> None:
    model = written_model(cls)
    shown = f"the fields of {cls.__name__}"
    for name, field in declared.items():
        kind = getattr(field, "child", field)
        if (nested := written_model(type(kind))) is not None:
            frame.read(orm.tables_of(nested), shown, node, sure=True)
            if type(kind) not in within and len(within) < 5:
                _serialized(frame, type(kind), kind._declared_fields, node, (*within, cls))
        if model is not None:
            source = getattr(field, "source", None) or name
            for each in orm.joined(model, source.replace(".", "__"), whole="." in source):
                frame.read(orm.tables_of(each), shown, node, sure=True)
        if type(field).__name__ == "SerializerMethodField":
            _shown_by(frame, cls, getattr(field, "method_name", None) or f"get_{name}", model, node)
    _shown_by(frame, cls, "to_representation", model, node)
    if not urls.is_safe(frame.reader.method or ""):
        _taken(frame, cls, declared, model, node)


def _shown_by(frame: Frame, cls: type, name: str, model: Any, node: ast.AST) -> None:
    raw, holder = find(cls, name)
    if isinstance(raw, FunctionType):
        given = Arguments(((Of(cls),), (Of(model),) if model is not None else ()))
        frame.absorb(frame.reader.run(raw, given, holder), node)


def _taken(frame: Frame, cls: type, declared: dict[str, Any], model: Any, node: ast.AST) -> None:
    """Rows that are looked up by what a request has sent: those of declared fields, and of the model's own keys."""
    models = list(_offered(declared))
    names = getattr(getattr(cls, "Meta", None), "fields", None)
    for field in model._meta.get_fields() if model is not None else ():
        key = getattr(field, "remote_field", None) is not None and not field.auto_created and field.name not in declared
        if key and is_model(field.related_model) and (names == "__all__" or field.name in (names or ())):
            models.append(field.related_model)
    for each in models:
        frame.read(orm.tables_of(each), f"the fields of {cls.__name__}", node, sure=True)
