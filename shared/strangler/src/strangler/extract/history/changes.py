"""What later migrations take away: SQL and code that name it no longer fit the tables, as they are at last."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from strangler.extract.code.modules import text_of
from strangler.extract.history.reading import Migration, argument, kind

STATE, DATABASE = "state_operations", "database_operations"


def inner(operation: ast.expr) -> Iterator[ast.expr]:
    """The operation, or those in it."""
    lists = [argument(operation, DATABASE, 0), argument(operation, STATE, 1)]
    if kind(operation) != "SeparateDatabaseAndState":
        yield operation
        return
    for one in lists:
        yield from getattr(one, "elts", ())


class Later:
    """What the migrations of an app change after each of them, by the lower-case name of the model."""

    def __init__(self, migrations: Sequence[Migration]) -> None:
        self._changes: list[tuple[int, int, ast.expr]] = []
        for number, migration in enumerate(migrations):
            for place, operation in enumerate(migration.operations or ()):
                self._changes += [(number, place, one) for one in inner(operation)]

    def gone(self, after: tuple[int, int]) -> Mapping[str, frozenset[str]]:
        """The names that a model's rows do not have at last, by model; an empty one where the model itself is gone."""
        found: dict[str, set[str]] = {}
        for number, place, one in self._changes:
            if (number, place) <= after:
                continue
            model = (text_of(argument(one, "model_name", 0)) or "").lower()
            name = (text_of(argument(one, "name", 1 if model else 0)) or "").lower()
            of = found.setdefault(model, set())
            match kind(one):
                case "RemoveField":
                    of |= {name, f"{name}_id"}
                case "AddField":
                    of -= {name, f"{name}_id"}
                case "RenameField":
                    old = (text_of(argument(one, "old_name", 1)) or "").lower()
                    of |= {old, f"{old}_id"}
                    of -= {(text_of(argument(one, "new_name", 2)) or "").lower()}
                case "DeleteModel":
                    found.setdefault((text_of(argument(one, "name", 0)) or "").lower(), set()).add("")
                case "RenameModel":
                    found.setdefault((text_of(argument(one, "old_name", 0)) or "").lower(), set()).add("")
        return {model: frozenset(names) for model, names in found.items() if names}

    def asks(self, models: set[str], after: tuple[int, int]) -> bool:
        """Whether a later field must have a value that rows of the models, as they were written then, do not have."""
        for number, place, one in self._changes:
            keeps = argument(one, "preserve_default", 9)
            is_once = isinstance(keeps, ast.Constant) and keeps.value is False
            of = (text_of(argument(one, "model_name", 0)) or "").lower()
            if (number, place) > after and is_once and of in models:
                return True
        return False
