"""What taken code asks across the seam: rows, signals, settings, caches, templates, URLs. Each place is listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from strangler.extract.code.callers import asks, names_caller
from strangler.extract.code.modules import Code, Module, Statement, Target, dotted, text_of
from strangler.extract.code.plan import label_of
from strangler.extract.code.relations import Crossing, Crossings
from strangler.extract.code.scope import Scope, is_test
from strangler.extract.draft import Decision, Kind

_NAMING = frozenset(
    {"select_related", "prefetch_related", "order_by", "values", "values_list", "only", "defer", "F", "Prefetch"}
    | {"Count", "Sum", "Max", "Min", "Avg", "OuterRef", "distinct", "dates", "datetimes", "earliest", "latest"}
)
_MANAGING = frozenset(
    {"all", "filter", "exclude", "count", "exists", "first", "last", "get", "create", "add", "remove", "set", "clear"}
    | {"update", "delete", "order_by", "values", "values_list", "select_related", "aggregate", "annotate", "iterator"}
)
_CACHING = frozenset(
    {"get", "set", "add", "delete", "get_or_set", "incr", "decr", "touch", "get_many", "set_many", "delete_many"}
)
_REQUESTS = frozenset({"request", "context", "scope", "_request", "settings", "credentials", "client", "kwargs"})
_SQL = re.compile(r"\b(select|insert|update|delete|from|join|into|truncate|alter|copy)\b", re.IGNORECASE)
_LOADING = frozenset({"import_string", "import_module", "__import__"})
_REVERSING = frozenset({"reverse", "reverse_lazy", "redirect", "resolve_url"})
_PERMITTING = frozenset({"permission_required", "has_perm", "has_perms", "has_module_perms", "user_passes_test"})
_NAMED_TEMPLATE = re.compile(r"[\w./-]+\.(html|htm|txt|xml|jinja2?)")
_ON_THE_ROW = frozenset({"", "id", "pk", "in", "isnull", "exact", "gt", "gte", "lt", "lte", "range"})


@dataclass(slots=True)
class Seen:
    """What was found in the taken code, besides what a person decides."""

    decisions: list[Decision] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)  # with the first place of each
    templates: dict[str, str] = field(default_factory=dict)
    signals: set[str] = field(default_factory=set)  # names of signals that come along
    keys: dict[str, str] = field(default_factory=dict)  # how keys of the cache begin


def look(scope: Scope, found: Crossings, *, numbers: bool) -> Seen:
    """Looks at all that was taken, but for tests."""
    seen = Seen()
    for module in scope.modules():
        if not is_test(module.name):
            _Look(scope, found, module, seen, numbers=numbers).run()
    return seen


class _Look:
    def __init__(self, scope: Scope, found: Crossings, module: Module, seen: Seen, *, numbers: bool) -> None:
        self.scope, self.found, self.module, self.seen, self.numbers = scope, found, module, seen, numbers
        self.fields = {one.field: one for one in found.fields}
        self.imported = {one.bound: one.target for one in scope.code.imports(module)}
        self.outer: set[str] = set()
        self.of_caller: set[int] = set()  # what is set to a user, by the identity of the node
        metas = [each for each in ast.walk(module.tree) if isinstance(each, ast.ClassDef) and each.name == "Meta"]
        self.in_meta = {id(inner) for each in metas for inner in ast.walk(each)}
        self.staying = [
            table.name for table in scope.described.tables
            if not scope.moves(table.name) and table.name not in _COMMON
        ]  # fmt: skip
        self.incoming = dict(found.incoming)
        for name, label in found.incoming.items():
            if name.endswith("_set"):
                self.incoming.setdefault(name.removesuffix("_set"), label)

    def run(self) -> None:
        for node in ast.walk(self.module.tree):
            if isinstance(node, ast.Import):
                self.outer |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.outer |= {alias.asname or alias.name for alias in node.names}
        for statement in self.scope.statements(self.module):
            self._statement(statement)

    def tell(self, node: ast.AST, kind: Kind, says: str, remedy: str, *, open: bool = True) -> None:
        place = self.module.place(node)
        self.seen.decisions.append(Decision(place, kind, says, remedy, open, f"{self.module.path}"))

    def _statement(self, statement: Statement) -> None:
        node = statement.node
        owners = {each for one in self.found.fields for each in (one.owner, *(m.split(".")[-1] for m in one.models))}
        docs = {id(inner) for inner in _docstrings(node)}
        classes = [each for each in ast.walk(node) if isinstance(each, ast.ClassDef)]
        mine = {id(inner) for cls in classes if cls.name in owners for inner in ast.walk(cls)}
        self.of_caller |= {
            id(target) for each in ast.walk(node) if isinstance(each, ast.Assign) for target in each.targets
            if dotted(each.value).split(".")[-1] == "user"
        }  # fmt: skip
        within = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute):
                self._attribute(each, is_mine=id(each) in mine, is_inner=id(each) in within)
            elif isinstance(each, ast.Call):
                self._call(each)
            elif isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in docs:
                self._text(each, each.value)
            for decorator in getattr(each, "decorator_list", []):
                self._decorator(each, decorator)
        for cls in classes:
            self._class(cls)
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(value, ast.Call) and _last(value) == "Signal":
            self.seen.signals |= {each.id for each in node.targets if isinstance(each, ast.Name)}

    def _attribute(self, node: ast.Attribute, *, is_mine: bool, is_inner: bool) -> None:
        base = dotted(node.value)
        if base == "settings" and self._is_of_django("settings"):
            self.seen.settings.setdefault(node.attr, self.module.place(node))
        if node.attr in self.fields and not is_inner:
            self._row(node, node.value, node.attr, "", is_mine=is_mine)
        elif isinstance(node.value, ast.Attribute) and node.value.attr in self.fields:
            self._row(node, node.value.value, node.value.attr, node.attr, is_mine=is_mine)
        elif isinstance(node.value, ast.Attribute) and node.value.attr in self.incoming and node.attr in _MANAGING:
            name = node.value.attr
            self.tell(
                node, Kind.QUERY,
                f"{dotted(node) or f'….{name}.{node.attr}'} asks for rows of {self.incoming[name]}, elsewhere",
                "ask their owner through a port, or leave it out",
            )  # fmt: skip

    def _set(self, node: ast.Attribute, one: Crossing, text: str) -> None:
        if id(node) in self.of_caller and self._is_account(one):
            self.tell(
                node, Kind.QUERY, f"{text} is set to the user of the request, whose row is not here: its key is kept",
                "nothing, if it is the user of the request; another account has no row here", open=False,
            )  # fmt: skip
            return
        self.tell(
            node, Kind.QUERY, f"{text} is set: the row of {one.to.name} is not here", f"set .{one.attribute} to the key"
        )

    def _is_account(self, one: Crossing) -> bool:
        described = self.scope.described
        return one.to.name == described.user_table and "chassis.identity.standing" in described.provides

    def _row(self, node: ast.Attribute, base: ast.AST, name: str, read: str, *, is_mine: bool) -> None:
        shown = dotted(base)
        last = shown.split(".")[-1] or (text_of(base.slice) if isinstance(base, ast.Subscript) else None) or ""
        if last in _REQUESTS or shown.split(".")[0] in self.outer or (shown == "self" and not is_mine):
            return
        if shown == "cls" or (shown and shown in self.module.classes):
            return
        one = self.fields[name]
        text = f"{shown or '…'}.{name}{f'.{read}' if read else ''}"
        if isinstance(node.ctx, ast.Store) and not read:
            self._set(node, one, text)
        elif read in ("pk", "id"):
            self.tell(
                node, Kind.QUERY, f"{text} loads the row of {one.to.name}, which is not here, for its key",
                f"say .{one.attribute}",
            )  # fmt: skip
        else:
            self.tell(
                node, Kind.QUERY, f"{text} reads a row of {one.to.name}, which is not here",
                f"use .{one.attribute} where the key is enough, and a port to {one.to.app} for the rest",
            )  # fmt: skip

    def _call(self, node: ast.Call) -> None:
        name = dotted(node.func).split(".")[-1] or getattr(node.func, "attr", "")
        self._keywords(node, name)
        self._written(node, name)
        self._naming(node, name)
        self._calls(node, name)

    def _naming(self, node: ast.Call, name: str) -> None:
        if name in _NAMING:
            for arg in [*node.args, *(each.value for each in node.keywords)]:
                text = text_of(arg)
                first, _, rest = (text or "").lstrip("-").partition("__")
                joins = (bool(rest) and rest not in _ON_THE_ROW) or name in ("select_related", "prefetch_related")
                if text and first in self.fields and (joins or (self.numbers and not rest)):
                    one = self.fields[first]
                    self.tell(
                        arg, Kind.QUERY, f'{name}("{text}") joins {one.to.name}, which is not here',
                        f"take it out, or name {one.attribute}",
                    )  # fmt: skip
                elif text and first in self.incoming and (rest or name == "prefetch_related"):
                    self.tell(
                        arg, Kind.QUERY, f'{name}("{text}") joins the rows of {self.incoming[first]}, elsewhere',
                        "take it out, or ask their owner",
                    )  # fmt: skip

    def _calls(self, node: ast.Call, name: str) -> None:
        if name in _LOADING:
            self._loaded(node, name)
        elif name == "get_model":
            self._get_model(node)
        elif name == "get_app_config":
            self._get_app(node)
        elif name == "get_user_model" and not self.scope.moves(self.scope.described.user_table or ""):
            self.tell(
                node, Kind.ACCESS, "get_user_model() is the model of accounts, whose rows are not here",
                "know the caller by the request's user alone, or ask who owns the accounts",
            )  # fmt: skip
        elif name in _REVERSING:
            self._reverse(node, name)
        elif name in _CACHING and isinstance(node.func, ast.Attribute) and "cache" in _base(node.func).lower():
            self._cached(node, name)
        elif name == "getattr" and len(node.args) > 1 and dotted(node.args[0]) == "settings":
            if (text := text_of(node.args[1])) is not None:
                self.seen.settings.setdefault(text, self.module.place(node))
        elif name in ("connect", "disconnect"):
            self._sender(node, dotted(getattr(node.func, "value", node.func)), node)
        elif name in _PERMITTING:
            self.tell(
                node, Kind.ACCESS, f"{name}(…) asks for permissions, which each side keeps in its own tables",
                "give the service groups and permissions, or let the caller's token say what it may do", open=False,
            )  # fmt: skip

    def _keywords(self, node: ast.Call, name: str) -> None:
        if id(node) in self.in_meta or not asks(self.scope, self.module, self.imported, node):
            return
        for keyword in node.keywords:
            first, _, rest = (keyword.arg or "").partition("__")
            if caller := names_caller(self.scope, self.found, keyword):
                says = f"{name}({keyword.arg}=…) names the caller's row: it became {caller.attribute}=….pk"
                self.tell(keyword.value, Kind.QUERY, says, "nothing", open=False)
            elif first in self.fields:
                one = self.fields[first]
                if rest in _ON_THE_ROW:
                    says = f"{name}({keyword.arg}=…) names the row of {one.to.name} and not its key"
                    self.tell(keyword.value, Kind.QUERY, says, f"give {one.attribute}{'__' + rest if rest else ''}=")
                else:
                    says = f"{name}({keyword.arg}=…) joins {one.to.name}, which is not here"
                    self.tell(keyword.value, Kind.QUERY, says, "ask its owner first for the keys")
            elif first in self.incoming and rest:
                says = f"{name}({keyword.arg}=…) joins the rows of {self.incoming[first]}, which are elsewhere"
                self.tell(keyword.value, Kind.QUERY, says, "ask their owner first for the keys")

    def _written(self, node: ast.Call, name: str) -> None:
        """Names of fields that are to be written; a relation which became a number has another name."""
        named = [each.value for each in node.keywords if each.arg == "update_fields"]
        if name in ("bulk_update", "abulk_update"):
            named += [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "fields")]
        for each in (inner for value in named for inner in ast.walk(value)) if self.numbers else ():
            if (text := text_of(each)) in self.fields:
                one = self.fields[text]
                says = f'{name}(…) writes the field "{text}", which is called {one.attribute} here'
                self.tell(each, Kind.QUERY, says, f'name "{one.attribute}"')

    def _get_model(self, node: ast.Call) -> None:
        label = label_of(node)
        table = next((one for one in self.scope.described.tables if one.model.lower() == label), None)
        if not label and any(dotted(arg) == "settings.AUTH_USER_MODEL" for arg in node.args):
            table = self.scope.described.table(self.scope.described.user_table or "")
        if table is not None and not self.scope.moves(table.name):
            self.tell(
                node, Kind.QUERY, f'get_model("{table.model}") names a model that stays',
                "ask its owner through a port where more than the class is used",
            )  # fmt: skip

    def _loaded(self, node: ast.Call, name: str) -> None:
        """What is imported by a text: it is not followed."""
        text = text_of(node.args[0]) if node.args else None
        words = (text or "").split(".")
        found = [".".join(words[:count]) for count in range(len(words), 0, -1)]
        module = next((one for one in found if self.scope.code.find(one) is not None), None)
        rest = (text or "").removeprefix(module or "").lstrip(".").partition(".")[0]
        if module is None or self.scope.is_taken(Target(module, rest)):
            return
        self.tell(
            node, Kind.IMPORT, f'{name}("{text}") loads a module that did not come along',
            "write it anew, or leave it out",
        )  # fmt: skip

    def _get_app(self, node: ast.Call) -> None:
        app = self.scope.described.apps.get(text_of(node.args[0]) or "") if node.args else None
        if app is not None and app.own and app not in self.scope.apps:
            self.tell(
                node, Kind.IMPORT, f'get_app_config("{app.label}") asks for an app that is not installed here',
                "write what is asked of it, or let the monolith answer",
            )  # fmt: skip

    def _reverse(self, node: ast.Call, name: str) -> None:
        text = text_of(node.args[0]) if node.args else None
        mine = {one.name for one in self.scope.requests}
        if text and text not in mine and any(one.name == text for one in self.scope.described.requests):
            self.tell(
                node, Kind.ROUTE, f'{name}("{text}") is the URL of a route that stays',
                "nothing: the service's URLs have its name, for links to where the gateway leads", open=False,
            )  # fmt: skip

    def _cached(self, node: ast.Call, name: str) -> None:
        arg = node.args[0] if node.args else None
        start = text_of(arg)
        if isinstance(arg, ast.JoinedStr) and arg.values:
            start = text_of(arg.values[0])
        if start and len(start) > 3:
            self.seen.keys.setdefault(start, self.module.place(node))
        self.tell(
            node, Kind.CACHE, f"cache.{name}({f'{start}…' if start else '…'}) uses a cache",
            "give the service a cache of its own, or the same one with the same prefix for as long as both write it",
            open=False,
        )  # fmt: skip

    def _decorator(self, function: ast.AST, node: ast.AST) -> None:
        if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "receiver":
            self._sender(node, dotted(node.args[0]) if node.args else "", function)

    def _sender(self, node: ast.Call, signal: str, at: ast.AST) -> None:
        sender = _sender_of(node)
        if sender is None:
            return
        text = text_of(sender)
        table = None
        if text is not None:
            table = next((one for one in self.scope.described.tables if one.model.lower() == text.lower()), None)
        elif (name := dotted(sender)) in ("settings.AUTH_USER_MODEL",):
            table = self.scope.described.table(self.scope.described.user_table or "")
        elif name:
            target = self.imported.get(name) or Target(self.module.name, name)
            table = self.scope.model_at(self.scope.code.resolve(target))
        if table is not None and not self.scope.moves(table.name):
            self.tell(
                at, Kind.SIGNAL, f"hears {signal or 'a signal'} of {table.model}, which is not written here any more",
                "let the owner send a message, and handle that",
            )  # fmt: skip

    def _class(self, cls: ast.ClassDef) -> None:
        for meta in [each for each in cls.body if isinstance(each, ast.ClassDef) and each.name == "Meta"]:
            self._made_for(cls, meta)
        for node in cls.body:
            value = getattr(node, "value", None)
            if isinstance(value, ast.Call):
                name = dotted(value.func).split(".")[-1]
                if name in ("FileField", "ImageField", "FilePathField"):
                    self.tell(
                        value, Kind.FILE, f"{cls.name} names files ({name}): files do not move",
                        "give both sides one storage before the switch",
                    )  # fmt: skip

    def _made_for(self, cls: ast.ClassDef, meta: ast.ClassDef) -> None:
        for node in meta.body:
            names = (
                [each.id for each in node.targets if isinstance(each, ast.Name)] if isinstance(node, ast.Assign) else []
            )
            if "model" not in names or not isinstance(node, ast.Assign):
                continue
            first, _, rest = dotted(node.value).partition(".")
            target = self.imported.get(first) or Target(self.module.name, first)
            if rest and not target.name:
                target = Target(target.module, rest)
            table = self.scope.model_at(self.scope.code.resolve(target))
            if table is not None and not self.scope.moves(table.name):
                self.tell(
                    node, Kind.QUERY, f"{cls.name} is made for {table.model}, which stays: its fields are not here",
                    "leave the class out, or write its fields by hand",
                )  # fmt: skip

    def _text(self, node: ast.Constant, text: str) -> None:
        if _NAMED_TEMPLATE.fullmatch(text) and ("/" in text or text.endswith("html")):
            self.seen.templates.setdefault(text, self.module.place(node))
        if len(text) > 12 and _SQL.search(text):
            named = [table for table in self.staying if re.search(rf"\b{re.escape(table)}\b", text)]
            if named:
                self.tell(
                    node, Kind.QUERY, f"SQL names {', '.join(named[:4])}, which is not here",
                    "ask the owner through a port",
                )  # fmt: skip

    def _is_of_django(self, name: str) -> bool:
        return name in self.outer and name not in self.imported


_COMMON = frozenset({"django_content_type", "django_session", "django_migrations", "auth_permission", "auth_group"})


def _sender_of(node: ast.Call) -> ast.AST | None:
    """What a receiver is told to hear of: by its name, or the second one that `connect` is given."""
    named = next((each.value for each in node.keywords if each.arg == "sender"), None)
    is_connect = dotted(node.func).endswith("connect")
    return named or (node.args[1] if is_connect and len(node.args) > 1 else None)


def _last(call: ast.Call) -> str:
    return dotted(call.func).split(".")[-1]


def _base(node: ast.Attribute) -> str:
    base = node.value
    while isinstance(base, (ast.Subscript, ast.Call)):
        base = base.value if isinstance(base, ast.Subscript) else base.func
    return dotted(base)


def _docstrings(node: ast.AST) -> Iterator[ast.AST]:
    for each in ast.walk(node):
        body = getattr(each, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            yield body[0].value


def heard_elsewhere(code: Code, scope: Scope, seen: Seen) -> Iterator[Decision]:
    """Receivers in code that stays, of models and signals that come along; and keys of the cache that both use."""
    models = {name for (_, name) in scope._moving}
    wanted = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(models | seen.signals)) or r"(?!)")
    taken = {module.file for module in scope.modules()}
    for file in code.files():
        if file in taken or "migrations" in file.parts:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for start, place in seen.keys.items():
            if f'"{start}' in text or f"'{start}" in text:
                line = text.count("\n", 0, text.index(start)) + 1
                yield Decision(
                    f"{code.shown(file)}:{line}", Kind.CACHE,
                    f"uses keys of the cache that begin with {start!r}, as {place} does, which moves",
                    "let one side write and delete them, and tell it by a message",
                )  # fmt: skip
        if ("receiver(" in text or ".connect(" in text) and wanted.search(text):
            yield from _heard(scope, seen, code.shown(file), text, models)


def _heard(scope: Scope, seen: Seen, shown: str, text: str, models: Collection[str]) -> Iterator[Decision]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        yield Decision(f"{shown}:1", Kind.SIGNAL, "is no Python, so that its receivers are not known", "look at it")
        return
    labels = {table.model.lower() for table in scope._moving.values()}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or dotted(node.func).split(".")[-1] not in ("receiver", "connect"):
            continue
        sender = _sender_of(node)
        name, label = dotted(sender).split(".")[-1] if sender else "", (text_of(sender) or "").lower()
        spelled = dotted(node.func).removesuffix(".connect")
        signals = {dotted(arg).split(".")[-1] for arg in node.args} | {spelled.split(".")[-1]}
        if name in models or label in labels:
            yield Decision(
                f"{shown}:{node.lineno}", Kind.SIGNAL,
                f"hears a signal of {name or label}, which stays here and is not sent any more when the service writes",
                "let the service send a message, and handle that here", target=shown,
            )  # fmt: skip
        elif signals & seen.signals:
            yield Decision(
                f"{shown}:{node.lineno}", Kind.SIGNAL,
                f"hears {', '.join(sorted(signals & seen.signals))}, which moving code sends",
                "let the service send a message, and handle that here", target=shown,
            )  # fmt: skip


def imports_of_tests(scope: Scope, module: Module) -> Iterator[Decision]:
    """What a test touches that did not come along."""
    told: set[str] = set()
    for one in scope.code.imports(module):
        target = scope.code.resolve(one.target)
        if target.name == "*" or scope.is_taken(target) or target.module in told:
            continue
        told.add(target.module)
        yield Decision(
            module.place(one.line), Kind.IMPORT,
            f"the test uses {target}, which did not come along",
            "write what it needs anew, or leave the test with the monolith", target=str(module.path),
        )  # fmt: skip


def packages(modules: Sequence[Module], code: Code, known: Mapping[str, str]) -> list[str]:
    """The distributions that are imported, by the name of each, or of the module where it is not known."""
    import sys

    found: set[str] = set()
    for module in modules:
        for node in ast.walk(module.tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and code.find(top) is None and not code.is_folder(top):
                    found.add(known.get(top, top))
    return sorted(found)
