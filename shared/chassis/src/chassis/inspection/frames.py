"""One function being read: its statements in order, with what each name may stand for."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from django.http import HttpRequest

from chassis.inspection import conditions, expressions, hints, orm, sources
from chassis.inspection.lookup import MISSING, as_value, item, taken
from chassis.inspection.reading import NO_ARGUMENTS, Access, Arguments, Reader, Summary, merge, module_of
from chassis.inspection.sources import FunctionNode
from chassis.inspection.values import (
    NOWHERE,
    Guards,
    Known,
    Local,
    Of,
    Request,
    Rows,
    Several,
    Values,
    elements,
    guarded,
    says_something,
    union,
)

_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_SAFE = ("GET", "HEAD", "OPTIONS")


class Frame:
    """What is known while a function is read."""

    def __init__(self, reader: Reader, file: str, scope: Mapping[str, Any], *, outer: Frame | None = None) -> None:
        self.reader = reader
        self.file = file
        self.scope = scope
        self.outer = outer
        self.cls: type | None = outer.cls if outer else None
        self.name = ""
        self.line = 0
        self.own = sources.is_own(file)
        self.closure: dict[str, Any] = {}
        self.names: dict[str, Values] = {}
        self.flags: dict[str, bool] = {}  # parameters that are True or False, and are not bound anew
        self.summary = Summary()
        self.guards: Guards = outer.guards if outer else NOWHERE
        self._branches = 0
        self._conditions: dict[int, tuple[bool | None, Guards, Guards]] = {}

    @classmethod
    def of(cls, reader: Reader, function: FunctionType, owner: type | None) -> Frame:
        """The frame of a function of the running project."""
        frame = cls(reader, function.__code__.co_filename, function.__globals__)
        frame.cls = owner
        frame.name = function.__qualname__.replace(".<locals>", "")
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
            try:
                frame.closure[name] = cell.cell_contents
            except ValueError:
                continue
        return frame

    def run(self, node: FunctionNode, arguments: Arguments, defaults: Mapping[str, object]) -> Summary:
        """Reads the function's body."""
        self.line = node.lineno
        self._bind_parameters(node.args, arguments, defaults)
        if self.flags:
            bound = {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
            self.flags = {name: flag for name, flag in self.flags.items() if name not in bound}
        if isinstance(node, ast.Lambda):
            self.summary.returns = self.value(node.body)
        else:
            self.block(node.body)
            if node.returns is not None and not says_something(self.summary.returns):
                self.summary.returns = hints.meaning(self, node.returns) or self.summary.returns
        return self.summary

    def inner(self, node: FunctionNode, arguments: Arguments = NO_ARGUMENTS) -> Summary:
        """What a function does that is written inside this one."""
        if self.reader.inside(node):
            return Summary()
        with self.reader.reading(node):
            frame = Frame(self.reader, self.file, self.scope, outer=self)
            frame.name = self.name if isinstance(node, ast.Lambda) else f"{self.name}.{node.name}"
            return frame.run(node, arguments, {})

    # -- names

    def look_up(self, name: str) -> Values:
        """What a name may stand for here."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names[name]
            if name in frame.closure:
                return (as_value(frame.closure[name]),)
            frame = frame.outer
        found = self.scope.get(name, MISSING)
        if found is MISSING:
            found = vars(builtins).get(name, MISSING)
        if found is not MISSING:
            return (as_value(found),)
        imported = sources.imported(self.file, name)
        module = module_of(imported[0]) if imported else None
        found = taken(module, imported[1]) if imported else MISSING
        return () if found is MISSING else (as_value(found),)

    def bind(self, target: ast.expr, values: Values) -> None:
        """Gives a name, or several, what is assigned to them."""
        if isinstance(target, ast.Name):
            earlier = self.names.get(target.id, ()) if self._branches else ()
            self.names[target.id] = union(guarded(values, self.guards), earlier)
        elif isinstance(target, ast.Tuple | ast.List):
            for position, part in enumerate(target.elts):
                if isinstance(part, ast.Starred):
                    self.bind(part.value, values)
                else:
                    self.bind(part, union(*(item(value, position) for value in values)))
        elif isinstance(target, ast.Attribute):
            for owner in self.value(target.value):
                if isinstance(owner, Of | Request):
                    stored = self.reader.stored
                    on = (owner.cls, owner.given) if isinstance(owner, Of) else (HttpRequest, ())
                    key = (*on, target.attr)
                    stored[key] = union(stored.get(key, ()), values)
        elif isinstance(target, ast.Subscript):
            self.value(target.value)

    def _bind_parameters(self, parameters: ast.arguments, arguments: Arguments, defaults: Mapping[str, object]) -> None:
        positional = [*parameters.posonlyargs, *parameters.args]
        given = dict(arguments.keywords)
        for position, parameter in enumerate(positional):
            if position < len(arguments.positional):
                given[parameter.arg] = arguments.positional[position]
        for parameter in (*positional, *parameters.kwonlyargs):
            values = given.get(parameter.arg, ())
            # A project's own class of requests says what its middleware has added.
            if parameter.annotation is not None and not says_something(values):
                values = hints.meaning(self, parameter.annotation) or values
            if not values and not arguments.rest and defaults.get(parameter.arg) is not None:
                values = (as_value(defaults[parameter.arg]),)
            if not values and parameter.arg == "request":
                values = (Request(self.reader.method),)
            self.names[parameter.arg] = values
            match values:
                case (Known(thing=bool() as flag),):
                    self.flags[parameter.arg] = flag
        for rest in (parameters.vararg, parameters.kwarg):
            if rest is not None:
                self.names[rest.arg] = ()
        if parameters.vararg is not None:
            self.names[parameters.vararg.arg] = (Several(arguments.positional[len(positional) :]),)

    # -- statements

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Reads statements in order, as long as the next one can be reached."""
        before = self.guards
        for statement in statements:
            self.statement(statement)
            if isinstance(statement, _ENDS) or (isinstance(statement, ast.If) and self._settled(statement)):
                break
        self.guards = before

    def _settled(self, statement: ast.If) -> bool:
        """Whether nothing after this statement is reached. What is open after it is noted as a guard."""
        truth, yes, no = self._conditions[id(statement)]
        body_ends, else_ends = _ends(statement.body), _ends(statement.orelse)
        if (truth is True and body_ends) or (truth is False and else_ends) or (body_ends and else_ends):
            return True
        if body_ends:
            self.guards |= no
        if else_ends:
            self.guards |= yes
        return False

    def statement(self, node: ast.stmt) -> None:
        """Reads one statement."""
        match node:
            case ast.Assign():
                values = self.value(node.value)
                for target in node.targets:
                    self.bind(target, values)
            case ast.AnnAssign():
                values = self.value(node.value) if node.value is not None else ()
                self.bind(node.target, values or hints.meaning(self, node.annotation))
            case ast.Return(value=ast.expr() as returned):
                values = guarded(self.value(returned), self.guards)
                self.summary.returns = union(self.summary.returns, values)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.names[node.name] = (Local(node, self),)
            case ast.ClassDef():
                self.names[node.name] = ()
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.If():
                self._if(node)
            case _:
                self._other(node)

    def _compound(self, node: ast.For | ast.AsyncFor | ast.With | ast.AsyncWith) -> None:
        """What a loop or a block binds before its body is read."""
        if isinstance(node, ast.For | ast.AsyncFor):
            values = self.value(node.iter)
            self.loop(values, node.iter)
            self.bind(node.target, elements(values))
            return
        for one in node.items:
            values = self.value(one.context_expr)
            if one.optional_vars is not None:
                self.bind(one.optional_vars, values)

    def _other(self, node: ast.stmt) -> None:
        """Statements whose parts are all taken."""
        with self.branch():
            if isinstance(node, ast.For | ast.AsyncFor | ast.With | ast.AsyncWith):
                self._compound(node)
            else:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
                    elif isinstance(child, ast.ExceptHandler | ast.match_case):
                        self.block(child.body)
            for name in ("body", "orelse", "finalbody"):
                self.block(getattr(node, name, None) or [])

    def _if(self, node: ast.If) -> None:
        truth = conditions.truth(self, node.test)
        yes, no = conditions.asked(self, node.test)
        self._conditions[id(node)] = truth, yes, no
        with self.branch():
            if truth is not False:
                with self.under(yes):
                    self.block(node.body)
            if truth is not True:
                with self.under(no):
                    self.block(node.orelse)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                module = module_of(name)
                self.names[alias.asname or name] = (as_value(module),) if module else ()
            return
        package = str(self.scope.get("__package__") or "")
        if node.level:
            parts = package.split(".")
            package = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
        module = module_of(package if node.level else node.module or "")
        for alias in node.names:
            found = taken(module, alias.name)
            if found is MISSING:
                found = module_of(f"{getattr(module, '__name__', '')}.{alias.name}")
            self.names[alias.asname or alias.name] = () if found is None else (as_value(found),)

    # -- branches

    @contextmanager
    def under(self, guards: Guards) -> Iterator[None]:
        """Inside, these capabilities are open."""
        before = self.guards
        self.guards = before | guards
        yield
        self.guards = before

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Inside, what a name stood for before stays possible."""
        self._branches += 1
        yield
        self._branches -= 1

    def value(self, node: ast.expr) -> Values:
        """What an expression may stand for; what it calls is read."""
        return expressions.value(self, node)

    # -- what it does

    def absorb(self, other: Summary, node: ast.AST, under: Guards = NOWHERE) -> None:
        """Takes over what a function does that is called here."""
        merge(
            self.summary,
            other,
            file=self.file if self.own else "",
            line=getattr(node, "lineno", 0),
            around=self.line,
            name=self.name,
            under=self.guards | under,
        )

    def write(self, tables: Sequence[str], how: str, node: ast.AST, *, sure: bool, under: Guards = NOWHERE) -> None:
        """Notes that tables are written here."""
        done = Summary(writes=self._accesses(tables, how, sure=sure), asks=self.place(node))
        self.absorb(done, node, under)

    def read(self, tables: Sequence[str], how: str, node: ast.AST, *, sure: bool, under: Guards = NOWHERE) -> None:
        """Notes that tables are read here."""
        if found := self._accesses(tables, how, sure=sure):
            self.absorb(Summary(reads=found), node, under)

    def loop(self, values: Values, node: ast.expr) -> None:
        """Notes that these are iterated over: rows that were chosen elsewhere are read now."""
        for value in values:
            if isinstance(value, Rows):
                known = {access.table for access in self.summary.reads}
                tables = [table for table in orm.tables_of(value.model) if table not in known]
                self.read(tables, f"each {value.model.__name__}", node, sure=True, under=value.under)

    def _accesses(self, tables: Sequence[str], how: str, *, sure: bool) -> dict[Access, tuple[str, ...]]:
        return {Access(table, how, sure=sure): () for table in tables if self.reader.wanted(table)}

    def place(self, node: ast.AST) -> str:
        """Where a statement stands, for people."""
        return f"{sources.shown(self.file)}:{getattr(node, 'lineno', 0)}"


def _ends(statements: Sequence[ast.stmt]) -> bool:
    return bool(statements) and isinstance(statements[-1], _ENDS)
