# ruff: noqa: N802  libcst calls methods by the names of its nodes
"""Changes a module's text by libcst, so that comments and layout of the rest stay."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from strangler.domain.errors import ConfigurationError
from strangler.extract.code import plan as plans
from strangler.extract.code.modules import REMEDY
from strangler.extract.code.plan import ADMIN_DROPPED, ADMIN_RENAMED, META, Import, Plan
from strangler.extract.code.relations import POINTING, STAND_INS, Crossing, Way

# As Python counts lines: other characters that end a line for a text do not.
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_GONE = frozenset(
    {"to", "on_delete", "related_name", "related_query_name", "to_field", "limit_choices_to", "db_constraint"}
    | {"swappable", "parent_link", "through", "through_fields", "symmetrical"}
)
_BARE = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
_SPACED = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))


def rewritten(plan: Plan) -> str:
    """The module's text with the changes. Only statements with a change are read by libcst.

    Raises:
        ConfigurationError: libcst does not read one of them.
    """
    text = _apply(plan, plan.module.text, plan.module.tree)
    kept = {one.bound for imports in plan.cut.values() for one in imports}
    dropped = [place for place in plans.unused(plan.module.tree, text) if place[1] not in kept]
    if dropped:
        again = Plan(plan.module, imports=dict.fromkeys(dropped, ()))
        text = _apply(again, text, ast.parse(text))
    return text


def _apply(plan: Plan, text: str, tree: ast.Module) -> str:
    lines = _LINES.findall(text)
    kinds: set[str] = set()
    for group in reversed(_groups(tree)):
        first, last = group[0][0], group[-1][1]
        if all(line in plan.cut and not plan.cut[line] for line, _, _ in group):
            del lines[_above(lines, first) : last]
        elif any(_is_touched(plan, *one) for one in group):
            segment = "".join(lines[first - 1 : last])
            made = _changed(plan, segment, first - 1, kinds)
            lines[first - 1 : last] = [made] if made.strip() else []
    if kinds:
        plan.needs[f"from django.db.models import {', '.join(sorted(kinds))}"] = None
    added = [one for one in plan.needs if one not in text]
    if added:
        lines[(at := _place_for_imports(tree)) : at] = [f"{one}\n" for one in added]
        plan.needs.clear()
    return "".join(lines)


def _place_for_imports(tree: ast.Module) -> int:
    """The index of the line at which imports can be put: before Django's, or before the first others."""
    groups = [one for one in _flat_groups(tree) if not _is_from(one[2], "__future__")]
    imports = [line for line, _, node in groups if isinstance(node, (ast.Import, ast.ImportFrom))]
    django = [line for line, _, node in groups if _is_of_django(node)]
    first = django or imports
    if first:
        return first[0] - 1
    above = [last for _, last, node in _flat_groups(tree) if _is_from(node, "__future__") or _is_docstring(node)]
    return max(above, default=0)


def _is_from(node: ast.stmt, module: str) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == module


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _groups(tree: ast.Module) -> list[list[tuple[int, int, ast.stmt]]]:
    """The statements of the top level with their first and last lines; those that share a line are together."""
    groups: list[list[tuple[int, int, ast.stmt]]] = []
    for node in tree.body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        one = (first, node.end_lineno or node.lineno, node)
        if groups and groups[-1][-1][1] >= first:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _flat_groups(tree: ast.Module) -> list[tuple[int, int, ast.stmt]]:
    return [one for group in _groups(tree) for one in group]


def _above(lines: Sequence[str], first: int) -> int:
    """The index at which a statement that goes begins: with the comments that stand directly above it, and the empty
    lines above these."""
    place = first - 1
    while place > 0 and lines[place - 1].lstrip().startswith("#") and lines[place - 1][:1] == "#":
        place -= 1
    while place > 0 and not lines[place - 1].strip():
        place -= 1
    return place


def _is_touched(plan: Plan, first: int, last: int, node: ast.stmt) -> bool:
    if first in plan.cut or any(first <= line <= last for line, _ in (*plan.imports, *plan.callers, *plan.models)):
        return True
    if isinstance(node, ast.ClassDef):
        owners = {owner for owner, _ in plan.fields} | plan.added.keys() | plan.bases.keys()
        return node.name in owners or node.name in plan.crossed or node.name in plan.admins
    if isinstance(node, (ast.If, ast.Try)):
        return bool(plan.fields or plan.added) and any(isinstance(each, ast.ClassDef) for each in ast.walk(node))
    is_all = isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    return is_all and bool(plan.gone)


def _changed(plan: Plan, segment: str, above: int, kinds: set[str]) -> str:
    try:
        wrapper = MetadataWrapper(cst.parse_module(segment), unsafe_skip_copy=True)
    except cst.ParserSyntaxError as error:
        raise ConfigurationError(
            f"cannot be read as Python: {error.message}", place=plan.module.place(above + error.raw_line), remedy=REMEDY
        ) from error
    changes = _Changes(plan, above)
    text = wrapper.visit(changes).code
    kinds |= changes.kinds
    return text


def _is_of_django(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django")


class _Changes(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, plan: Plan, above: int) -> None:
        super().__init__()
        self.above = above  # lines of the file before the first that is read
        self.plan = plan
        self.classes: list[str] = []
        self.attributes: list[str] = []
        self.depth = 0
        self.kinds: set[str] = set()
        self.remark: cst.Comment | None = None

    # What is cut, and imports.

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.depth += 1

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> Any:
        self.depth -= 1
        return self._kept(original_node, updated_node)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self.classes.append(node.name.value)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> Any:
        self.classes.pop()
        kept = self._kept(original_node, updated_node)
        return self._completed(updated_node) if kept is updated_node and not self.classes and not self.depth else kept

    def _completed(self, node: cst.ClassDef) -> cst.ClassDef:
        """The class with other bases, and with statements at its beginning."""
        bases = self.plan.bases.get(node.name.value, {})
        if bases:
            args = [arg.with_changes(value=cst.parse_expression(bases[spelled]))
                    if (spelled := _dotted(arg.value)) in bases else arg for arg in node.bases]  # fmt: skip
            node = node.with_changes(bases=args)
        added = self.plan.added.get(node.name.value)
        if not added:
            return node
        statements = [cst.parse_statement(one) for one in added]
        if not isinstance(node.body, cst.IndentedBlock):
            return node.with_changes(body=cst.IndentedBlock(statements))
        body = [one for one in node.body.body if not _is_pass(one)]
        after = 1 if body and _is_text(body[0]) else 0
        return node.with_changes(body=node.body.with_changes(body=[*body[:after], *statements, *body[after:]]))

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> Any:
        if not self.plan.models or _dotted(updated_node.func).rpartition(".")[2] != "get_model":
            return updated_node
        texts = [one.value.evaluated_value for one in updated_node.args if isinstance(one.value, cst.SimpleString)]
        label = ".".join(map(str, texts)).lower()
        cls = self.plan.models.get((self._line(original_node), label))
        if cls is None:
            return updated_node
        whole = [f"{STAND_INS}.{cls}"] if len(texts) == 1 else [STAND_INS, cls]
        named = iter(whole)
        args = [one.with_changes(value=cst.SimpleString(f'"{next(named)}"'))
                if isinstance(one.value, cst.SimpleString) else one for one in updated_node.args]  # fmt: skip
        return updated_node.with_changes(args=args)

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> Any:
        if _is_empty(updated_node.body) and updated_node.orelse is None:
            return cst.RemoveFromParent()
        return self._kept(original_node, updated_node)

    def leave_Try(self, original_node: cst.Try, updated_node: cst.Try) -> Any:
        return self._kept(original_node, updated_node)

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> Any:
        return self._kept(original_node, updated_node)

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> Any:
        return self._kept(original_node, updated_node)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        cut = self._kept(original_node, updated_node)
        if cut is not updated_node:
            return cut
        if not updated_node.body:
            return cst.RemoveFromParent()
        remark, self.remark = self.remark, None
        if remark is not None and updated_node.trailing_whitespace.comment is None:
            trailing = updated_node.trailing_whitespace.with_changes(
                whitespace=cst.SimpleWhitespace("  "), comment=remark
            )
            return updated_node.with_changes(trailing_whitespace=trailing)
        only = original_node.body[0]
        if len(original_node.body) == 1 and isinstance(only, (cst.Import, cst.ImportFrom)):
            return self._imported(only, updated_node)
        return updated_node

    def _kept(self, original: Any, updated: Any) -> Any:
        """The statement, or what takes its place."""
        if self.classes or self.depth:
            return updated
        line = _first(self, original)
        if line not in self.plan.cut:
            return updated
        made = [_statement(one) for one in self.plan.cut[line]]
        return cst.FlattenSentinel(made) if made else cst.RemoveFromParent()

    def _imported(self, node: cst.Import | cst.ImportFrom, line: cst.SimpleStatementLine) -> Any:
        number = self._line(node)
        if isinstance(node.names, cst.ImportStar):
            instead = self.plan.imports.get((number, "*"))
            return line if instead is None else _replaced(line, None, instead)
        stay: list[cst.ImportAlias] = []
        made: list[Import] = []
        for alias in node.names:
            instead = self.plan.imports.get((number, _bound(node, alias)))
            if instead is None:
                stay.append(alias)
            else:
                made += instead
        if len(stay) == len(node.names):
            return line
        rest = None
        if stay:
            stay[-1] = stay[-1].with_changes(comma=_last_comma(node))
            rest = node.with_changes(names=stay)
        return _replaced(line, rest, made)

    # Fields.

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> Any:
        if self.attributes:
            self.attributes.pop()
        target = updated_node.targets[0].target
        if len(self.classes) == 1 and isinstance(target, cst.Name):
            crossing = self.plan.fields.get((self.classes[0], target.value))
            if crossing is not None and isinstance(updated_node.value, cst.Call):
                return self._field(crossing, updated_node, target)
        return updated_node

    def leave_AnnAssign(self, original_node: cst.AnnAssign, updated_node: cst.AnnAssign) -> Any:
        if self.attributes:
            self.attributes.pop()
        target = updated_node.target
        if len(self.classes) == 1 and isinstance(target, cst.Name):
            crossing = self.plan.fields.get((self.classes[0], target.value))
            if crossing is not None and isinstance(updated_node.value, cst.Call):
                plain = cst.Assign([cst.AssignTarget(target)], updated_node.value)
                return (
                    self._field(crossing, plain, target)
                    if crossing.way is not Way.KEY
                    else (updated_node.with_changes(value=self._loose(crossing, updated_node.value)))
                )
        return updated_node

    def _field(self, crossing: Crossing, node: cst.Assign, name: cst.Name) -> Any:
        call = node.value
        assert isinstance(call, cst.Call)
        if crossing.way is Way.CUT:
            return cst.RemoveFromParent()
        if crossing.way is Way.KEY:
            return node.with_changes(value=self._loose(crossing, call))
        target = node.targets[0].with_changes(target=name.with_changes(value=crossing.attribute))
        return node.with_changes(targets=[target, *node.targets[1:]], value=self._number(crossing, call))

    def _loose(self, crossing: Crossing, call: cst.Call) -> cst.Call:
        """The same relation to the model that stands in, without a constraint."""
        cls = self.plan.stand_ins.get((crossing.owner, crossing.field))
        args = list(call.args)
        index = next((i for i, arg in enumerate(args) if _keyword(arg) == "to"), 0 if args else None)
        if index is None:
            return call
        if cls is not None:
            args[index] = args[index].with_changes(value=cst.SimpleString(f'"{STAND_INS}.{cls}"'))
        args = [arg for arg in args if _keyword(arg) != "parent_link"]
        through = any(_keyword(arg) == "through" for arg in args)
        if not through and not any(_keyword(arg) == "db_constraint" for arg in args):
            # Positional arguments stay together.
            place = next((i for i, arg in enumerate(args) if arg.keyword is not None), len(args))
            loose = _argument("db_constraint", cst.Name("False"))
            if place == len(args):
                last = args[-1]
                args[-1] = last.with_changes(comma=args[0].comma if len(args) > 1 else _SPACED)
                args.append(loose.with_changes(comma=last.comma))
            else:
                comma = args[0].comma if len(args) > 1 else _SPACED
                args.insert(place, loose.with_changes(comma=comma))
        if crossing.many and not through:
            self.plan.needs[f"from {STAND_INS}.fields import LooseManyToManyField"] = None
            return call.with_changes(func=cst.Name("LooseManyToManyField"), args=args)
        return call.with_changes(args=args)

    def _number(self, crossing: Crossing, call: cst.Call) -> cst.Call:
        """A column with what the relation's had."""
        key = crossing.key
        kind = POINTING.get(key.kind, key.kind) if key else "BigIntegerField"
        given = {_keyword(arg): arg for arg in call.args if arg.keyword is not None}
        args = [arg for name, arg in given.items() if name not in _GONE]
        made: list[cst.Arg] = []
        if key and key.max_length and kind == "CharField":
            made.append(_argument("max_length", cst.Integer(str(key.max_length))))
        if key and kind == "DecimalField" and key.digits[0]:
            made.append(_argument("max_digits", cst.Integer(str(key.digits[0]))))
            made.append(_argument("decimal_places", cst.Integer(str(key.digits[1]))))
        func = _dotted(call.func)
        is_primary = "primary_key" in given
        if func.endswith("OneToOneField"):
            if not is_primary and "unique" not in given:
                made.append(_argument("unique", cst.Name("True")))
        elif "db_index" not in given and "unique" not in given and not is_primary:
            made.append(_argument("db_index", cst.Name("True")))
        args = [arg for arg in args if not (_keyword(arg) == "db_index" and _is_false(arg.value))]
        gone = [arg for arg in call.args if all(arg is not each for each in args)]
        self.remark = next((found for arg in gone if (found := _remark(arg)) is not None), None)
        both = [*made, *args]
        if call.args and both:
            between = call.args[0].comma if len(call.args) > 1 else _SPACED
            both = [arg.with_changes(comma=between) for arg in both]
            both[-1] = both[-1].with_changes(comma=call.args[-1].comma)
        whole: cst.BaseExpression
        if isinstance(call.func, cst.Attribute):
            whole = (
                cst.Attribute(cst.Name("models"), cst.Name(kind))
                if not func.startswith("models.")
                else (call.func.with_changes(attr=cst.Name(kind)))
            )
        else:
            whole = cst.Name(kind)
            self.kinds.add(kind)
        inner = call.whitespace_before_args if both else cst.SimpleWhitespace("")
        return call.with_changes(func=whole, args=both, whitespace_before_args=inner)

    # Names of fields in Meta and in admins.

    def visit_Assign(self, node: cst.Assign) -> None:
        target = node.targets[0].target
        self.attributes.append(target.value if isinstance(target, cst.Name) else "")

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        self.attributes.append(node.target.value if isinstance(node.target, cst.Name) else "")

    def leave_SimpleString(self, original_node: cst.SimpleString, updated_node: cst.SimpleString) -> Any:
        text = updated_node.evaluated_value
        if not isinstance(text, str):
            return updated_node
        sign, name = ("-", text[1:]) if text.startswith("-") else ("", text)
        if self._in_meta():
            if name in self.plan.renamed.get(self.classes[0], ()):
                return _quoted(updated_node, f"{sign}{name}_id")
        elif (names := self._of_admin(ADMIN_RENAMED)) and name in names:
            self._tell_admin(original_node, text, f"{sign}{name}_id")
            return _quoted(updated_node, f"{sign}{name}_id")
        elif (names := self._of_admin({"search_fields"})) and self.plan.numbers:
            bare = text.lstrip("=^@")
            if bare.split("__")[0] in names:
                self._tell_admin(original_node, text, f"={bare.split('__')[0]}_id")
                return _quoted(updated_node, f"={bare.split('__')[0]}_id")
        return updated_node

    def _tell_admin(self, node: cst.SimpleString, before: str, after: str) -> None:
        where = f"{'.'.join(self.classes)}.{self.attributes[-1]}"
        self.plan.told.append((self._line(node), f"{where}: {before!r} became {after!r}"))

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> Any:
        if self.plan.callers and updated_node.keyword is not None:
            keyword = self.plan.callers.get((self._line(original_node), updated_node.keyword.value))
            if keyword is not None:
                key = cst.Attribute(updated_node.value, cst.Name("pk"))
                return updated_node.with_changes(keyword=cst.Name(keyword), value=key)
        if self._in_meta() and updated_node.keyword is not None:
            name, _, rest = updated_node.keyword.value.partition("__")
            if name in self.plan.renamed.get(self.classes[0], ()):
                keyword = f"{name}_id{'__' + rest if rest else ''}"
                return updated_node.with_changes(keyword=cst.Name(keyword))
        return updated_node

    def leave_Tuple(self, original_node: cst.Tuple, updated_node: cst.Tuple) -> Any:
        return self._without(original_node, updated_node)

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> Any:
        return self._without(original_node, updated_node)

    def _without(self, before: Any, node: Any) -> Any:
        """The sequence without what cannot be asked here."""
        seen: set[str] = set()
        stay = []
        for original, element in zip(before.elements, node.elements, strict=True):
            value = element.value
            text = value.evaluated_value if isinstance(value, cst.SimpleString) else None
            if isinstance(text, str) and (
                self._is_refused(text) or (text in seen and self._of_admin({"search_fields"}))
            ):
                where = f"{'.'.join(self.classes)}.{self.attributes[-1]}"
                if self.classes:
                    self.plan.told.append((self._line(original), f"{where}: {text!r} was taken out"))
                continue
            if isinstance(text, str):
                seen.add(text)
            stay.append(element)
        if len(stay) == len(node.elements):
            return node
        if stay:
            one = isinstance(node, cst.Tuple) and len(stay) == 1
            comma = cst.Comma() if one else node.elements[-1].comma
            stay[-1] = stay[-1].with_changes(comma=comma)
        elif isinstance(node, cst.Tuple) and not node.lpar:
            return cst.Tuple([])
        return node.with_changes(elements=stay)

    def _is_refused(self, text: str) -> bool:
        if not self.classes and not self.depth and self.attributes[-1:] == ["__all__"]:
            return text in self.plan.gone
        name, _, rest = text.lstrip("-=^@").partition("__")
        if self._in_meta() and self.attributes[-1] == "ordering":
            return bool(rest) and rest != "id" and name in self.plan.crossed.get(self.classes[0], ())
        dropped = self._of_admin(ADMIN_DROPPED | ({"raw_id_fields"} if self.plan.numbers else set()))
        if not dropped or name not in dropped:
            return False
        return bool(rest) or self.attributes[-1] != "ordering"

    def _in_meta(self) -> bool:
        is_named = bool(self.attributes) and self.attributes[-1] in META
        return len(self.classes) == 2 and self.classes[1] == "Meta" and is_named

    def _of_admin(self, attributes: Iterable[str]) -> frozenset[str]:
        if len(self.classes) != 1 or self.depth or not self.attributes or self.attributes[-1] not in attributes:
            return frozenset()
        return self.plan.admins.get(self.classes[0], frozenset())

    def _line(self, node: cst.CSTNode) -> int:
        return self.above + int(self.get_metadata(PositionProvider, node).start.line)


def _is_pass(node: cst.BaseStatement | cst.BaseSmallStatement) -> bool:
    return isinstance(node, cst.SimpleStatementLine) and all(isinstance(one, cst.Pass) for one in node.body)


def _is_text(node: cst.BaseStatement | cst.BaseSmallStatement) -> bool:
    only = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    return isinstance(only, cst.Expr) and isinstance(only.value, (cst.SimpleString, cst.ConcatenatedString))


def _first(changes: _Changes, node: Any) -> int:
    decorators: Sequence[cst.CSTNode] = getattr(node, "decorators", ())
    return min(changes._line(each) for each in (node, *decorators))


def _remark(arg: cst.Arg) -> cst.Comment | None:
    """The comment at the end of an argument's line."""
    comma = arg.comma
    space = comma.whitespace_after if isinstance(comma, cst.Comma) else arg.whitespace_after_arg
    return space.first_line.comment if isinstance(space, cst.ParenthesizedWhitespace) else None


def _is_empty(body: cst.BaseSuite) -> bool:
    return isinstance(body, cst.IndentedBlock) and not body.body


def _bound(node: cst.Import | cst.ImportFrom, alias: cst.ImportAlias) -> str:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    name = _dotted(alias.name)
    return name.split(".")[0] if isinstance(node, cst.Import) else name


def _dotted(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _last_comma(node: cst.Import | cst.ImportFrom) -> Any:
    names = node.names
    return names[-1].comma if isinstance(names, (list, tuple)) else cst.MaybeSentinel.DEFAULT


def _replaced(line: cst.SimpleStatementLine, rest: Any, made: Sequence[Import]) -> Any:
    lines = [line.with_changes(body=[rest])] if rest is not None else []
    seen: set[Import] = set()
    for one in made:
        if one not in seen:
            seen.add(one)
            lines.append(_statement(one))
    if not lines:
        return cst.RemoveFromParent()
    if rest is None:
        lines[0] = lines[0].with_changes(leading_lines=line.leading_lines, trailing_whitespace=line.trailing_whitespace)
    return cst.FlattenSentinel(lines) if len(lines) > 1 else lines[0]


def _statement(one: Import) -> cst.SimpleStatementLine:
    alias = f" as {one.bound}" if one.bound and one.bound != one.name else ""
    made = cst.parse_statement(f"from {one.module} import {one.name}{alias}")
    assert isinstance(made, cst.SimpleStatementLine)
    return made


def _keyword(arg: cst.Arg) -> str:
    return arg.keyword.value if arg.keyword is not None else ""


def _argument(name: str, value: cst.BaseExpression) -> cst.Arg:
    return cst.Arg(keyword=cst.Name(name), value=value, equal=_BARE)


def _is_false(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Name) and node.value == "False"


def _quoted(node: cst.SimpleString, text: str) -> cst.SimpleString:
    return node.with_changes(value=f"{node.prefix}{node.quote}{text}{node.quote}")
