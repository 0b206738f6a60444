"""What a call does: a write of the ORM, a statement in SQL, or a function that is read in turn."""

from __future__ import annotations

import ast
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.signals import ModelSignal
from django.dispatch import Signal

from chassis.inspection import answers, fields, hints, orm, sources
from chassis.inspection.lookup import attribute, find, written_model
from chassis.inspection.reading import NO_ARGUMENTS, Arguments, Blind, layers
from chassis.inspection.receivers import receivers_of
from chassis.inspection.values import (
    Above,
    Bound,
    Known,
    Local,
    Of,
    Rows,
    Several,
    Value,
    Values,
    is_model,
    union,
)

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame

_SQL = {"execute", "executemany", "copy", "raw", "mogrify", "copy_expert"}
_LATER = {"delay", "apply_async", "s", "si", "signature", "delay_on_commit", "apply_async_on_commit", "map", "starmap"}
# What these make from an object is no server: fields, answers, data classes, types.
_NO_SERVERS = {"builtins", "chassis", "collections", "dataclasses", "django", "functools", "rest_framework", "typing"}
_SENDS = {"send", "send_robust", "asend", "asend_robust"}


def call(frame: Frame, node: ast.Call) -> Values:
    """What the call may give back; what it does is taken over into the frame's summary."""
    arguments = _arguments(frame, node)
    if isinstance(node.func, ast.Attribute):
        return _method(frame, node, node.func, arguments)
    if isinstance(node.func, ast.Name) and node.func.id == "super":
        return _super(frame, arguments)
    found = frame.value(node.func)
    if not found and frame.own and isinstance(node.func, ast.Call):
        frame.reader.dynamic.add(frame.place(node))
    return union(*(apply(frame, value, arguments, node) for value in found))


def apply(frame: Frame, value: Value, arguments: Arguments, node: ast.Call) -> Values:
    """Calls a value."""
    match value:
        case Known(thing=thing):
            return _object(frame, value, thing, arguments, node)
        case Bound():
            special = answers.special(value.function)
            if special is not None:
                return special(frame, arguments, node)
            return _run(frame, value, value.function, arguments.after(value.owner), node, cls=value.cls)
        case Local():
            return _local(frame, value, arguments, node)
        case Of():
            return union(*(apply(frame, each, arguments, node) for each in attribute(frame, value, "__call__")))
        case _:
            return ()


def _method(frame: Frame, node: ast.Call, func: ast.Attribute, arguments: Arguments) -> Values:
    name = func.attr
    bases = frame.value(func.value)
    if name in _SQL:
        _statement(frame, name, arguments, node)
    if name == "quote_name":
        return arguments.first()
    if not bases:
        if name in orm.TELLING and frame.own:
            blind = Blind(f"{ast.unparse(func)[:60]}()", frame.file, node.lineno, frame.line)
            frame.summary.blind.add(blind)
            frame.reader.blind.add(blind)
        elif name in orm.TELLING:
            frame.reader.blind_elsewhere.add(frame.place(node))
        _callbacks(frame, arguments, node)
        return ()
    return union(*(_named(frame, base, name, arguments, node) for base in bases))


def _named(frame: Frame, base: Value, name: str, arguments: Arguments, node: ast.Call) -> Values:
    """Calls ``base.name``."""
    if isinstance(base, Rows):
        return _rows(frame, base, name, arguments, node)
    if isinstance(base, Above) and isinstance(base.owner, Rows):
        own = orm.method(base.owner, name)
        if own is None or own[1] is base.cls:
            return _rows(frame, base.owner, name, arguments, node, own=False)
    if isinstance(base, Known) and isinstance(base.thing, str):
        return _formatted(base.thing, arguments) if name == "format" else (base,)
    if isinstance(base, Known) and isinstance(base.thing, Signal) and name in _SENDS:
        return _send(frame, base.thing, arguments, node)
    later = isinstance(base, Known) and name in _LATER and type(base.thing).__module__.startswith("celery.")
    return () if later or name == "as_view" else _attribute(frame, base, name, arguments, node)


def _attribute(frame: Frame, base: Value, name: str, arguments: Arguments, node: ast.Call) -> Values:
    """Calls a method of a row, a form, or anything else."""
    if isinstance(base, Above) and isinstance(base.owner, Of) and is_model(base.owner.cls):
        _write_row(frame, base.owner, name, node)
    if isinstance(base, Of) and is_model(base.cls):
        _write_row(frame, base, name, node)
    if isinstance(base, Of) and name == "save" and _is_formset(base.cls):
        frame.write(orm.tables_of(base.cls.model), f"{base.cls.__name__}.save()", node, sure=True)  # type: ignore[attr-defined]
    found = attribute(frame, base, name)
    if not found:
        _callbacks(frame, arguments, node)
    returned = union(*(apply(frame, each, arguments, node) for each in found))
    if isinstance(base, Of) and name == "save" and not returned and (model := written_model(base.cls)) is not None:
        return (Of(model, under=base.under),)
    return returned


def _rows(frame: Frame, rows: Rows, name: str, arguments: Arguments, node: ast.Call, *, own: bool = True) -> Values:
    for model in orm.writes(rows, name):
        how = f"{rows.model.__name__}…{name}()" if rows.related else f"{rows.model.__name__}.objects.{name}()"
        frame.write(orm.tables_of(model), how, node, sure=True, under=rows.under)
    frame.summary.asks = frame.summary.asks or frame.place(node)
    found = attribute(frame, rows, name) if own else ()
    _read_rows(frame, rows, name, node, own=bool(found))
    returned = union(*(apply(frame, each, arguments, node) for each in found))
    return returned or orm.result(rows, name)


def _read_rows(frame: Frame, rows: Rows, name: str, node: ast.Call, *, own: bool) -> None:
    """What is read of rows, and of those that the call names by a lookup; a method of the project's own is followed."""
    how = f"{rows.model.__name__}…{name}()"
    models = list(orm.named_in(rows.model, name, node))
    if not own:
        models += orm.reads(rows, name)
    for model in models:
        frame.read(orm.tables_of(model), how, node, sure=True, under=rows.under)


def _write_row(frame: Frame, row: Of, name: str, node: ast.Call) -> None:
    plain = name.removeprefix("a")
    if name in orm.ROW_WRITES or (plain in orm.ROW_WRITES and name != "add"):
        how = f"{row.cls.__name__}.{name}()"
        frame.write(orm.tables_of(row.cls), how, node, sure=not row.guessed, under=row.under)
    if plain == "refresh_from_db":
        how = f"{row.cls.__name__}.{name}()"
        frame.read(orm.tables_of(row.cls), how, node, sure=not row.guessed, under=row.under)


def _statement(frame: Frame, name: str, arguments: Arguments, node: ast.Call) -> None:
    frame.summary.asks = frame.summary.asks or frame.place(node)
    texts = hints.texts(arguments.first())
    # Without an argument it is the copy of something else.
    if not texts and node.args and frame.own and name in ("execute", "executemany", "copy"):
        frame.reader.unknown_sql.add(frame.place(node))
    for text in texts:
        for table in orm.written_tables(text):
            frame.write([table.removeprefix("public.")], "SQL", node, sure=False)
        for table in orm.read_tables(text):
            frame.read([table.removeprefix("public.")], "SQL", node, sure=False)


def _formatted(template: str, arguments: Arguments) -> Values:
    """What ``str.format`` or ``psycopg.sql.SQL.format`` makes, where each field is a known text."""
    for values in arguments.all():
        template = re.sub(r"\{\w*\}", (hints.texts(values) or ["?"])[0].replace("\\", ""), template, count=1)
    return (Known(template),)


def _object(frame: Frame, value: Known, thing: Any, arguments: Arguments, node: ast.Call) -> Values:
    special = answers.special(thing)
    if special is not None:
        return special(frame, arguments, node)
    if isinstance(thing, type):
        return _construct(frame, thing, arguments, node, value)
    found: Values = ()
    for layer in layers(thing):
        owner = Known(thing.__self__) if layer is getattr(thing, "__func__", None) else None
        cls = type(thing.__self__) if owner is not None else None
        found = union(found, _run(frame, value, layer, arguments.after(owner) if owner else arguments, node, cls=cls))
    if not found and not any(True for _ in layers(thing)):
        raw, cls = find(type(thing), "__call__")
        if isinstance(raw, FunctionType):
            return _run(frame, value, raw, arguments.after(value), node, cls=cls)
        _callbacks(frame, arguments, node)
    return found


def _construct(frame: Frame, cls: type, arguments: Arguments, node: ast.Call, value: Known) -> Values:
    if cls.__module__ in ("psycopg.sql", "psycopg2.sql"):
        return arguments.first()
    raw, owner = find(cls, "__init__")
    made = Of(cls, under=value.under)
    if isinstance(raw, FunctionType) and not is_model(cls):
        for layer in layers(raw):
            _run(frame, value, layer, arguments.after(made), node, cls=owner)
    fields.made(frame, cls, node)
    _callbacks(frame, arguments, node)
    if _takes_handlers(cls):
        _handlers(frame, arguments, node)
    return (made,)


def _takes_handlers(cls: type) -> bool:
    """Whether it is a class of a package or of Python that may call the objects it is given, as a server does."""
    if cls.__module__.partition(".")[0] in _NO_SERVERS or issubclass(cls, BaseException):
        return False
    return not sources.is_own(sources.file_of(cls))


def _handlers(frame: Frame, arguments: Arguments, node: ast.Call) -> None:
    """All methods that the project has written for an object, or for a class, that is given to such a class."""
    given = [value for values in arguments.all() for value in values if isinstance(value, Of | Known)]
    for value in given:
        cls = value.cls if isinstance(value, Of) else value.thing
        if not isinstance(cls, type) or is_model(cls) or written_model(cls) is not None:
            continue
        for each in cls.__mro__:
            if not sources.is_own(sources.file_of(each)):
                continue
            for name, raw in vars(each).items():
                if isinstance(raw, FunctionType) and (name == "__call__" or not name.startswith("__")):
                    _run(frame, value, raw, NO_ARGUMENTS.after(Of(cls)), node, cls=each)


def _run(
    frame: Frame, value: Value, function: FunctionType, arguments: Arguments, node: ast.Call, *, cls: type | None
) -> Values:
    if opens_durable(function):
        frame.summary.durable.add(frame.place(node))
    if not frame.reader.follows(function, arguments):
        _callbacks(frame, arguments, node)
        return ()
    summary = frame.reader.run(function, arguments, cls)
    frame.absorb(summary, node, value.under)
    return summary.returns


def opens_durable(function: FunctionType) -> bool:
    """Whether it is what ``@transaction.atomic(durable=True)`` has made of a function."""
    for cell in function.__closure__ or ():
        try:
            if isinstance(cell.cell_contents, transaction.Atomic) and getattr(cell.cell_contents, "durable", False):
                return True
        except ValueError:
            continue
    return False


def _local(frame: Frame, value: Local, arguments: Arguments, node: ast.Call) -> Values:
    outer: Frame = value.frame
    summary = outer.inner(value.node, arguments)
    frame.absorb(summary, node, value.under)
    return summary.returns


def _callbacks(frame: Frame, arguments: Arguments, node: ast.Call) -> None:
    """Functions that are handed to code which is not read are taken to be called there."""
    for values in arguments.all():
        for value in values:
            if isinstance(value, Bound | Local) or (isinstance(value, Known) and isinstance(value.thing, FunctionType)):
                apply(frame, value, NO_ARGUMENTS, node)


def _send(frame: Frame, signal: Signal, arguments: Arguments, node: ast.Call) -> Values:
    named = tuple((name, values) for name, values in arguments.keywords if name != "sender")
    given = Arguments((), named, rest=True)
    # What hears of rows is looked at by itself, whoever writes them.
    for receiver, _ in () if isinstance(signal, ModelSignal) else receivers_of(signal):
        apply(frame, Known(receiver), given, node)
    return ()


def _super(frame: Frame, arguments: Arguments) -> Values:
    if frame.cls is None:
        return ()
    outermost = frame
    while outermost.outer is not None:
        outermost = outermost.outer
    owner = next(iter(outermost.names.values()), ())
    return tuple(Above(value, frame.cls, value.under) for value in owner[:2])


def _arguments(frame: Frame, node: ast.Call) -> Arguments:
    positional: list[Values] = []
    rest = False
    for argument in node.args:
        if not isinstance(argument, ast.Starred):
            positional.append(_argument(frame, argument))
            continue
        values = frame.value(argument)
        several = next((value for value in values if isinstance(value, Several)), None)
        positional += several.items if several else ()
        rest = several is None
        if rest:
            break
    keywords = tuple((word.arg, _argument(frame, word.value)) for word in node.keywords if word.arg)
    for word in node.keywords:
        if word.arg is None:
            frame.value(word.value)
            rest = True
    return Arguments(tuple(positional), keywords, rest)


def _argument(frame: Frame, node: ast.expr) -> Values:
    """What is given; a flag only where it is written out, for elsewhere it may be the other as well."""
    values = frame.value(node)
    if isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in frame.flags):
        return values
    return tuple(value for value in values if not (isinstance(value, Known) and isinstance(value.thing, bool)))


def _is_formset(cls: type) -> bool:
    return any(each.__name__ == "BaseModelFormSet" for each in cls.__mro__) and is_model(getattr(cls, "model", None))
