"""What an expression may stand for; the calls in it are read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chassis.inspection import calls, conditions, hints, orm
from chassis.inspection.lookup import attribute, find, item
from chassis.inspection.values import (
    MOST,
    Asked,
    Known,
    Local,
    Of,
    Rows,
    Several,
    Values,
    elements,
    guarded,
    is_model,
    union,
)

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame

_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def value(frame: Frame, node: ast.expr) -> Values:
    """What the expression may stand for."""
    kind = _KINDS.get(type(node))
    return _parts(frame, node) if kind is None else kind(frame, node)


def _parts(frame: Frame, node: ast.expr) -> Values:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            value(frame, child)
    return ()


def _name(frame: Frame, node: ast.Name) -> Values:
    return frame.look_up(node.id)


def _constant(frame: Frame, node: ast.Constant) -> Values:
    return (Known(node.value),)


def _attribute(frame: Frame, node: ast.Attribute) -> Values:
    bases = value(frame, node.value)
    for base in bases:
        if isinstance(base, Of) and is_model(base.cls):
            for model in orm.fetched(find(base.cls, node.attr)[0]):
                how = f"{base.cls.__name__}.{node.attr}"
                frame.read(orm.tables_of(model), how, node, sure=not base.guessed, under=base.under)
    return union(*(attribute(frame, base, node.attr) for base in bases))


def _named(frame: Frame, node: ast.NamedExpr) -> Values:
    values = value(frame, node.value)
    frame.bind(node.target, values)
    return values


def _inner(frame: Frame, node: ast.Await | ast.Starred | ast.YieldFrom) -> Values:
    return value(frame, node.value)


def _yield(frame: Frame, node: ast.Yield) -> Values:
    values = guarded(value(frame, node.value) if node.value is not None else (), frame.guards)
    frame.summary.returns = union(frame.summary.returns, (Several((values,)),))
    return ()


def _several(frame: Frame, node: ast.Tuple | ast.List | ast.Set) -> Values:
    return (Several(tuple(value(frame, part) for part in node.elts)),)


def _mapping(frame: Frame, node: ast.Dict) -> Values:
    return (Several(tuple(value(frame, part) for part in node.values)),)


def _lambda(frame: Frame, node: ast.Lambda) -> Values:
    return (Local(node, frame),)


def _not(frame: Frame, node: ast.UnaryOp) -> Values:
    values = value(frame, node.operand)
    if not isinstance(node.op, ast.Not):
        return ()
    return tuple(Asked(one.capability, not one.positive, one.under) for one in values if isinstance(one, Asked))


def _any(frame: Frame, node: ast.BoolOp) -> Values:
    return union(*(value(frame, part) for part in node.values))


def _choice(frame: Frame, node: ast.IfExp) -> Values:
    truth = conditions.truth(frame, node.test)
    yes, no = conditions.asked(frame, node.test)
    found: list[Values] = []
    if truth is not False:
        with frame.under(yes):
            found.append(guarded(value(frame, node.body), yes))
    if truth is not True:
        with frame.under(no):
            found.append(guarded(value(frame, node.orelse), no))
    return union(*found)


def _comprehension(frame: Frame, node: _Comprehension) -> Values:
    with frame.branch():
        for generator in node.generators:
            values = value(frame, generator.iter)
            frame.loop(values, generator.iter)
            frame.bind(generator.target, elements(values))
            for condition in generator.ifs:
                value(frame, condition)
        if isinstance(node, ast.DictComp):
            value(frame, node.key)
            return (Several((value(frame, node.value),)),)
        return (Several((value(frame, node.elt),)),)


def _subscript(frame: Frame, node: ast.Subscript) -> Values:
    value(frame, node.slice)
    values = value(frame, node.value)
    if isinstance(node.slice, ast.Slice):
        return values
    position = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return union(*(item(one, position if isinstance(position, int) else None) for one in values))


def _operation(frame: Frame, node: ast.BinOp) -> Values:
    left, right = value(frame, node.left), value(frame, node.right)
    if any(isinstance(one, Rows | Several) for one in left):
        return union(left, right)
    texts = [value.thing for value in (*left, *right) if isinstance(value, Known) and isinstance(value.thing, str)]
    texts += [text for one in right if isinstance(one, Several) for part in one.items for text in hints.texts(part)]
    return (Known(" ".join(texts)),) if texts else ()


def _texts(frame: Frame, node: ast.JoinedStr) -> Values:
    """What a text with fields may be; a field of which nothing is known is a question mark."""
    parts: list[list[str]] = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            parts.append(hints.texts(value(frame, part.value)) or ["?"])
        elif isinstance(part, ast.Constant):
            parts.append([str(part.value)])
    texts = [""]
    for options in parts:
        texts = [text + option for text in texts for option in options][:MOST]
    return tuple(Known(text) for text in texts)


_KINDS: Mapping[type[ast.expr], Callable[[Frame, Any], Values]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.Attribute: _attribute,
    ast.Call: calls.call,
    ast.IfExp: _choice,
    ast.NamedExpr: _named,
    ast.Await: _inner,
    ast.Starred: _inner,
    ast.YieldFrom: _inner,
    ast.Yield: _yield,
    ast.Tuple: _several,
    ast.List: _several,
    ast.Set: _several,
    ast.Dict: _mapping,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.Lambda: _lambda,
    ast.Subscript: _subscript,
    ast.JoinedStr: _texts,
    ast.UnaryOp: _not,
    ast.BoolOp: _any,
    ast.BinOp: _operation,
}
