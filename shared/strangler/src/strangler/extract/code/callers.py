"""Where taken code asks by the caller's row, as `filter(owner=request.user)`: the row is not here, its key is known.

``owner_id=request.user.pk`` says the same. A relation that may be null is left alone, for nobody's key would find the
rows of nobody, where Django refuses a user who is not logged in.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from strangler.extract.code.modules import Module, Target, dotted
from strangler.extract.code.relations import Crossing, Crossings
from strangler.extract.code.scope import Scope

ASKING = frozenset(
    {"filter", "exclude", "get", "create", "update", "get_or_create", "update_or_create", "Q", "annotate", "aggregate"}
    | {"get_object_or_404", "get_list_or_404", "acreate", "aget", "alias", "When", "await_row", "earliest", "latest"}
)
_CALLER = ("request.user", "self.request.user")


def asks(scope: Scope, module: Module, imported: Mapping[str, Target], node: ast.Call) -> bool:
    """Whether the keywords of the call can name fields: it is a query, or makes a row of a model that moves."""
    name = dotted(node.func).split(".")[-1] if dotted(node.func) else getattr(node.func, "attr", "")
    if name in ASKING:
        return True
    table = scope.model_at(scope.code.resolve(imported.get(name) or Target(module.name, name)))
    return table is not None and scope.moves(table.name)


def names_caller(scope: Scope, found: Crossings, keyword: ast.keyword) -> Crossing | None:
    """The relation to an account that is compared with, or set to, who makes the request."""
    if dotted(keyword.value) not in _CALLER:
        return None
    those = [one for one in found.fields if one.field == keyword.arg]
    fits = all(one.to.name == scope.described.user_table and not one.null and not one.many for one in those)
    return those[0] if those and fits else None


def callers(scope: Scope, module: Module, found: Crossings) -> dict[tuple[int, str], str]:
    """By line and keyword the name that takes the keyword's place, where the caller's key can be given."""
    imported = {one.bound: one.target for one in scope.code.imports(module)}
    named: dict[tuple[int, str], str] = {}
    for statement in scope.statements(module):
        for node in ast.walk(statement.node):
            if isinstance(node, ast.Call) and asks(scope, module, imported, node):
                for keyword in node.keywords:
                    if keyword.arg and (one := names_caller(scope, found, keyword)):
                        named[keyword.lineno, keyword.arg] = one.attribute
    return named
