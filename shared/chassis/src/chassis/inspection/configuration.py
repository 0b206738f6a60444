"""The few keys of strangler.toml that concern a project from inside: which tables move, and which routes.

The tool checks the whole file; here only what is read is checked.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from chassis.inspection.routes import Route, RouteError

FILE_NAME = "strangler.toml"


class ConfigurationError(Exception):
    """The file cannot be used; the text says at which place and why, ``remedy`` what to do."""

    def __init__(self, place: str, message: str, remedy: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Capability:
    """What moves as one, as the file says. Tables are spelled as Django's models spell them."""

    name: str
    tables: Set[str]
    routes: Sequence[Route]

    def covers(self, method: str, path: str) -> bool:
        """Whether a request with this method and decoded path belongs to the capability."""
        return any(route.covers(method, path) for route in self.routes)

    def holds(self, table: str) -> bool:
        """Whether the table moves with it."""
        return plain(table) in self.tables


@dataclass(frozen=True, slots=True)
class Configuration:
    """The file, as far as it is read."""

    path: Path
    capabilities: Mapping[str, Capability]

    def owner(self, table: str) -> Capability | None:
        """The capability that the table moves with, if any."""
        return next((each for each in self.capabilities.values() if each.holds(table)), None)

    def chosen(self, names: Sequence[str]) -> Sequence[Capability]:
        """The capabilities of these names; all of them without a name. Raises ConfigurationError."""
        for name in names:
            if name not in self.capabilities:
                near = get_close_matches(name, self.capabilities, 1)
                raise ConfigurationError(
                    f"{self.path.name}, [capabilities]",
                    f"there is no capability {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                    f"name one of: {', '.join(sorted(self.capabilities))}",
                )
        return [self.capabilities[name] for name in dict.fromkeys(names)] or list(self.capabilities.values())


def load(path: Path | None = None) -> Configuration:
    """The file at ``path``, or that of STRANGLER_CONFIG, or the nearest one from the working directory upwards.

    Raises ConfigurationError.
    """
    path = path or _found()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(str(path), f"cannot be read: {error.strerror}", "name the file by --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"is not TOML: {error}", "mend the file at that line") from error
    section = _table(path, document.get("capabilities"), "[capabilities]")
    if not section:
        raise ConfigurationError(str(path), "names no capability", "describe what moves under [capabilities.NAME]")
    return Configuration(path, {name: _capability(path, name, content) for name, content in section.items()})


def plain(table: str) -> str:
    """A table's name without quotes, and without the schema that a bare name means."""
    return table.replace('"', "").removeprefix("public.")


def _found() -> Path:
    if named := os.environ.get("STRANGLER_CONFIG"):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigurationError(
        FILE_NAME, f"is neither in {here} nor above it", "name the file by --config or STRANGLER_CONFIG"
    )


def _capability(path: Path, name: str, content: object) -> Capability:
    label = f"[capabilities.{name}]"
    keys = _table(path, content, label)
    tables = frozenset(plain(table) for table in _texts(path, keys.get("tables"), f"{label} tables"))
    return Capability(name, tables, tuple(_routes(path, keys.get("routes"), f"{label} routes")))


def _routes(path: Path, content: object, label: str) -> Iterator[Route]:
    if not isinstance(content, list):
        raise ConfigurationError(f"{path.name}, {label}", "is not a list", "write a list of routes")
    for item in content:
        text = item.get("route") if isinstance(item, dict) else item
        try:
            yield Route.parse(str(text))
        except RouteError as error:
            raise ConfigurationError(
                f"{path.name}, {label}", str(error), 'write methods and a path: "GET,POST /api/things/{id}"'
            ) from error


def _table(path: Path, content: object, label: str) -> Mapping[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise ConfigurationError(f"{path.name}, {label}", "is not a table", f"write it as {label}")
    return content or {}


def _texts(path: Path, content: object, label: str) -> Sequence[str]:
    if not isinstance(content, list) or not all(isinstance(text, str) and re.search(r"\S", text) for text in content):
        raise ConfigurationError(f"{path.name}, {label}", "is not a list of names", "write a list of table names")
    return content
