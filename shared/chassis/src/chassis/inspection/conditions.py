"""What a condition says: which branch is taken, and which capabilities are open in it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from chassis.inspection.values import NOWHERE, Asked, Guards, Request

if TYPE_CHECKING:
    from chassis.inspection.frames import Frame

_SAFE = ("GET", "HEAD", "OPTIONS")


def truth(frame: Frame, test: ast.expr) -> bool | None:
    """What a condition is, where the request's method decides it, or a flag that the caller gives."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = truth(frame, operand)
            return None if inner is None else not inner
        case ast.BoolOp(op=op, values=parts):
            return _joined([truth(frame, part) for part in parts], decisive=isinstance(op, ast.Or))
        case ast.Name(id=name):
            return frame.flags.get(name)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(frame, left, op, right)
        case ast.Attribute(value=ast.Name() as base, attr="POST" | "FILES"):
            values = frame.look_up(base.id)
            safe = all(isinstance(value, Request) and value.method in _SAFE for value in values)
            return False if values and safe else None
        case _:
            return None


def _joined(found: list[bool | None], *, decisive: bool) -> bool | None:
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def _compared(frame: Frame, left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
    if not isinstance(left, ast.Attribute) or left.attr != "method":
        return None
    asked = [value.method for value in frame.value(left.value) if isinstance(value, Request)]
    if len(asked) != 1 or asked[0] is None:
        return None
    options = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
    texts = [option.value for option in options if isinstance(option, ast.Constant)]
    if len(texts) != len(options):
        return None
    among = asked[0] in texts
    return not among if isinstance(op, ast.NotEq | ast.NotIn) else among


def asked(frame: Frame, test: ast.expr) -> tuple[Guards, Guards]:
    """The capabilities that are open where a condition holds, and where it does not; what it calls is read."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yes, no = asked(frame, operand)
            return no, yes
        case ast.BoolOp(op=op, values=parts):
            found = [asked(frame, part) for part in parts]
            yes = frozenset[str]().union(*(one for one, _ in found))
            no = frozenset[str]().union(*(one for _, one in found))
            return (yes, NOWHERE) if isinstance(op, ast.And) else (NOWHERE, no)
        case _:
            known_answers = [value for value in frame.value(test) if isinstance(value, Asked)]
            yes = frozenset(value.capability for value in known_answers if value.positive)
            no = frozenset(value.capability for value in known_answers if not value.positive)
            return yes, no
