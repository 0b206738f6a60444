"""What the migrations of the taken apps do besides making tables: extensions, and code that somebody has written."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.surroundings import Surroundings

NAME = "0001_extensions"
_SAYS = {
    "RunSQL": "runs SQL, which a migration made from models does not",
    "SeparateDatabaseAndState": "does in the database something else than the models say",
    "RunPython": "runs code on rows; they are copied as they are",
    "AddIndexConcurrently": "makes an index without a lock; a new table needs none",
}
_ROWS = ("RunPython", "AddIndexConcurrently", "RemoveIndexConcurrently")


def extensions(here: Surroundings) -> tuple[Mapping[PurePosixPath, str], tuple[Decision, ...]]:
    """A first migration for each app whose own migrations install extensions or collations, and what they do besides.

    Extensions that any app of the project installs are those of one database, so that the first taken app gets them
    all where its tables need some.
    """
    files: dict[PurePosixPath, str] = {}
    decisions: list[Decision] = []
    for app in here.source.apps:
        if not app.moved:
            continue
        folder = PurePosixPath(*app.module.split(".")) / "migrations"
        made: dict[str, None] = {}
        for path in sorted((here.root / folder).glob("*.py")):
            for name, node, source in _operations(path):
                place = f"{folder / path.name}:{node.lineno}"
                if name.endswith("Extension") or name == "CreateCollation":
                    made[_imported(name, source)] = None
                elif name in _SAYS:
                    decisions.append(
                        Decision(
                            place,
                            Kind.FILE,
                            f"the migration {_SAYS[name]}",
                            "nothing to do"
                            if name in _ROWS
                            else f"look whether the tables need it, and write it into a migration of {app.module}",
                            open=name not in _ROWS,
                        )
                    )
        if made:
            files[folder / f"{NAME}.py"] = _text(list(made))
            files[folder / "__init__.py"] = ""
    return files, tuple(decisions)


def _operations(path: Path) -> Iterator[tuple[str, ast.Call, str]]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name.endswith("Extension") or name in {"CreateCollation", *_SAYS}:
                arguments = [ast.unparse(one) for one in node.args]
                arguments += [f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords if one.arg]
                yield name, node, ", ".join(arguments).replace("'", '"')


def _imported(name: str, arguments: str) -> str:
    return f"{name}({arguments})"


def _text(operations: Sequence[str]) -> str:
    names = sorted({one.partition("(")[0] for one in operations})
    return "\n".join(
        [
            '"""What the tables need of the database: as the project\'s own migrations install it."""',
            "",
            "from __future__ import annotations",
            "",
            f"from django.contrib.postgres.operations import {', '.join(names)}",
            "from django.db import migrations",
            "",
            "",
            "class Migration(migrations.Migration):",
            "    dependencies = []",
            "    operations = [",
            *(f"        {one}," for one in operations),
            "    ]",
            "",
        ]
    )
