"""Writes the events of docs/reference/logs.md from the calls in the code of chassis and tool.

python docs/generate_logs.py            writes them
python docs/generate_logs.py --check    says whether they are current
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "logs.md"
BEGIN, END = "<!-- events: written by docs/generate_logs.py -->\n", "<!-- end of events -->\n"
SOURCES = {"chassis": ROOT / "shared/chassis/src", "strangler": ROOT / "shared/strangler/src"}
LOGGERS = {"logger", "log"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

Found = tuple[str, str, str]


def table() -> str:
    """A row per event: its name, its level, and the modules that log it."""
    rows: dict[tuple[str, str], set[str]] = {}
    for folder in SOURCES.values():
        for file in sorted(folder.rglob("*.py")):
            module = ".".join(file.relative_to(folder).with_suffix("").parts)
            for event, level in _events(ast.parse(file.read_text())):
                rows.setdefault((event, level), set()).add(module)
    lines = [
        f"| `{event}` | {level} | {', '.join(f'`{module}`' for module in sorted(modules))} |"
        for (event, level), modules in sorted(rows.items())
    ]
    return "| event | level | module |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n"


def _events(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = (
            node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        )
        if name == "Complaint" and texts:
            yield texts[0], "warning"
            yield f"{texts[0]}_over", "info"
        elif owner in LOGGERS and name in LEVELS and texts:
            yield texts[0], "error" if name == "exception" else name
        elif owner in LOGGERS and name == "log" and texts:
            yield texts[0], "info, warning"
        elif (owner == "logs" and name in {"tell", "line"}) or (owner == "self" and name == "_event"):
            told = [
                each.value.value
                for each in node.keywords
                if each.arg == "level" and isinstance(each.value, ast.Constant)
            ]
            if texts:
                yield texts[0], told[0] if told else "info"


def page() -> str:
    """The page with the present events."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


def main(arguments: list[str]) -> int:
    """Writes the page; with --check it only compares."""
    if arguments == ["--check"]:
        if PAGE.read_text() == page():
            return 0
        print(f"{PAGE} is not what the code logs: run python docs/generate_logs.py", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
