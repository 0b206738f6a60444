"""Values of a description, as Python is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WIDTH = 118


def text(value: str) -> str:
    """A string with double quotes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")


def python(value: Any, *, indent: int = 0, taken: int = 0) -> str:
    """The expression; ``taken`` is how much of its first line is written already.

    What JSON has no word for comes as a description marks it: `$environment`, `$path`, `$seconds`, `$tuple`.
    """
    line = _line(value)
    if indent + taken + len(line) <= WIDTH or not _has_items(value):
        return line
    inner = " " * (indent + 4)
    items = value["$tuple"] if isinstance(value, Mapping) and "$tuple" in value else value
    if isinstance(items, Mapping):
        rows = [
            f"{inner}{text(str(key))}: {python(one, indent=indent + 4, taken=len(text(str(key))) + 2)},"
            for key, one in items.items()
        ]
        return "\n".join(["{", *rows, f"{' ' * indent}}}"])
    first, last = "()" if isinstance(value, Mapping) else "[]"
    rows = [f"{inner}{python(one, indent=indent + 4)}," for one in items]
    return "\n".join([first, *rows, f"{' ' * indent}{last}"])


def _has_items(value: Any) -> bool:
    marked = isinstance(value, Mapping) and any(key in value for key in ("$environment", "$path", "$seconds", "$code"))
    return isinstance(value, Mapping | list) and bool(value) and not marked


def _line(value: Any) -> str:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_line, value))}]"
    if isinstance(value, Mapping):
        return _marked(value) or f"{{{', '.join(f'{text(str(key))}: {_line(one)}' for key, one in value.items())}}}"
    return repr(value)


def _marked(value: Mapping[str, Any]) -> str:
    if "$environment" in value:
        return f"environment.secret({text(value['$environment'])})"
    if "$path" in value:
        return f"str(BASE_DIR / {text(value['$path'])})" if value["$path"] else "str(BASE_DIR)"
    if "$seconds" in value:
        return f"timedelta(seconds={value['$seconds']:g})"
    if "$code" in value:
        return str(value["$code"])
    if "$tuple" in value:
        items = [_line(one) for one in value["$tuple"]]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    return ""


def names_in(value: Any) -> set[str]:
    """The names that the expression needs."""
    if isinstance(value, list):
        return set().union(*map(names_in, value))
    if not isinstance(value, Mapping):
        return set()
    found = {"$environment": "environment", "$path": "BASE_DIR", "$seconds": "timedelta"}
    return {found[key] for key in value if key in found}.union(*map(names_in, value.values()))
