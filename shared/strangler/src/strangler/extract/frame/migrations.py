"""What must be there before the tables are made: extensions, collations, and SQL that makes types and functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from strangler.extract.code.modules import text_of
from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.surroundings import Surroundings
from strangler.extract.history.planning import folder_of

NAME = "0001_extensions"
_POSTGRES = "django.contrib.postgres.operations"
# Words of code that needs an extension; any other one is needed where its own name is written.
_SIGNS: Mapping[str, str] = {
    "BloomExtension": r"BloomIndex",
    "BtreeGinExtension": r"GinIndex",
    "BtreeGistExtension": r"GistIndex|ExclusionConstraint",
    "CITextExtension": r"CI(?:Text|Char|Email)",
    "CryptoExtension": r"gen_random|RandomUUID|\bcrypt\b|\bdigest\(",
    "HStoreExtension": r"HStore",
    "TrigramExtension": r"trgm|[Tt]rigram",
    "UnaccentExtension": r"unaccent",
    "VectorExtension": r"Vector",
}


def extensions(
    here: Surroundings, before: Mapping[str, Sequence[tuple[str, str]]]
) -> tuple[Mapping[PurePosixPath, str], tuple[Decision, ...]]:
    """A first migration for each app that moves and needs something before its tables: what its own migrations install,
    what those of other apps install and the taken code uses, and SQL that makes neither tables nor rows (``before``, by
    app: the SQL and what undoes it)."""
    files: dict[PurePosixPath, str] = {}
    decisions: list[Decision] = []
    moved = [app for app in here.source.apps if app.moved]
    theirs: dict[str, dict[str, str]] = {app.label: {} for app in moved}
    for one in here.described.apps.values():
        if not one.own:
            continue
        for place, name, module, call in _installs(here.root, folder_of(here.described, here.root, one)):
            wanted = [one.label] if one.label in theirs else _users(here, name, call)
            if not wanted:
                continue
            if module.partition(".")[0] in here.own_modules and not here.comes_along(module):
                decisions.append(
                    Decision(place, Kind.FILE, f"the migration: {call} is an operation of the project's own",
                             "write what it does into a migration of the service")
                )  # fmt: skip
                continue
            # A collation cannot be made twice; an extension is made where it is missing.
            for label in wanted[:1] if name == "CreateCollation" else wanted:
                theirs[label][call] = f"from {module} import {name}"
    for app in moved:
        sql = before.get(app.label, ())
        if theirs[app.label] or sql:
            folder = PurePosixPath(*app.module.split(".")) / "migrations"
            files[folder / f"{NAME}.py"] = _text(theirs[app.label], sql)
            files[folder / "__init__.py"] = ""
    return files, tuple(dict.fromkeys(decisions))


def _users(here: Surroundings, name: str, call: str) -> list[str]:
    """The apps whose tables may need what another app installs; the first one stands for code that is in none."""
    named = re.search(r"""["']([\w-]+)["']""", call)
    sign = re.compile(_SIGNS.get(name) or (re.escape(named[1]) if named else re.escape(name)))
    moved = [app for app in here.source.apps if app.moved]
    using = [
        app.label for app in moved
        if any(sign.search(text) for path, text in here.texts.items()
               if path.is_relative_to(PurePosixPath(*app.module.split("."))))
    ]  # fmt: skip
    if using or not any(sign.search(text) for text in here.texts.values()):
        return using
    return [moved[0].label] if moved else []


def _installs(root: Path, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Place, name, module and text of each operation that installs something."""
    for path in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        modules = {alias.asname or alias.name: node.module for node in ast.walk(tree)
                   if isinstance(node, ast.ImportFrom) and node.module for alias in node.names}  # fmt: skip
        values = {each.id: node.value for node in tree.body if isinstance(node, ast.Assign)
                  for each in node.targets if isinstance(each, ast.Name)}  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name.endswith("Extension") or name == "CreateCollation":
                    place = f"{path.relative_to(root).as_posix()}:{node.lineno}"
                    yield place, name, modules.get(name) or _POSTGRES, _call(name, node, values)


def _call(name: str, node: ast.Call, values: Mapping[str, ast.expr]) -> str:
    def shown(value: ast.expr) -> str:
        if isinstance(value, ast.Name) and text_of(values.get(value.id)) is not None:
            value = values[value.id]
        return ast.unparse(value).replace("'", '"')

    arguments = [shown(one) for one in node.args]
    arguments += [f"{one.arg}={shown(one.value)}" for one in node.keywords if one.arg]
    return f"{name}({', '.join(arguments)})"


def _text(operations: Mapping[str, str], sql: Sequence[tuple[str, str]]) -> str:
    imports: dict[str, list[str]] = {}
    for line in dict.fromkeys(operations.values()):
        module, _, name = line.removeprefix("from ").partition(" import ")
        imports.setdefault(module, []).append(name)
    return "\n".join(
        [
            '"""What the tables need of the database: as the project\'s own migrations install it."""',
            "",
            "from __future__ import annotations",
            "",
            *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())),
            "from django.db import migrations",
            "",
            "",
            "class Migration(migrations.Migration):",
            "    dependencies = []",
            "    operations = [",
            *(f"        {one}," for one in operations),
            *(f"        migrations.RunSQL({_literal(does)}, {_literal(undoes)})," if undoes
              else f"        migrations.RunSQL({_literal(does)})," for does, undoes in sql),
            "    ]",
            "",
        ]
    )  # fmt: skip


def _literal(text: str) -> str:
    plain = '"""' not in text and "\\" not in text and not text.endswith('"')
    return f'"""{text}"""' if plain and "\n" in text else repr(text)
