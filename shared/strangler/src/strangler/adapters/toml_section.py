"""A table of a TOML file that is read key by key, with precise errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import overload

from strangler.domain.errors import ConfigurationError

_MISSING = object()
_TYPE_NAMES = {str: "text", int: "a number", bool: "true or false", list: "a list", dict: "a table"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Section:
    """Keys are asked for one by one; ``close`` refuses keys that were not asked for."""

    def __init__(self, values: Mapping[str, object], *, label: str, path: str = "") -> None:
        self._values = values
        self._label = label
        self._path = path
        self._asked: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        """Whether the file has the key; it is one that may be there."""
        self._asked.add(key)
        return key in self._values

    def error(self, message: str, *, key: str = "", remedy: str) -> ConfigurationError:
        where = ".".join(part for part in (self._path, key) if part)
        return ConfigurationError(message, place=f"{self._label}: {where}", remedy=remedy)

    def close(self) -> None:
        """Raises for the first key that is not one of those asked for."""
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                known = ", ".join(sorted(self._asked))
                raise self.error(
                    "is not a known key",
                    key=key,
                    remedy=f"did you mean {near[0]}?" if near else f"known here: {known}",
                )

    @overload
    def text(self, key: str, *, matching: re.Pattern[str] | None = None) -> str: ...
    @overload
    def text(self, key: str, default: str, *, matching: re.Pattern[str] | None = None) -> str: ...

    def text(self, key: str, default: object = _MISSING, *, matching: re.Pattern[str] | None = None) -> str:
        value = self._take(key, str, default)
        assert isinstance(value, str)
        self._match(value, key, matching, "name")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key, "") or None

    def boolean(self, key: str, *, default: bool) -> bool:
        return bool(self._take(key, bool, default))

    def port(self, key: str) -> int:
        """A TCP port; 0, which is the default, stands for any free one."""
        value = self._take(key, int, 0)
        if not isinstance(value, int) or not 0 <= value <= 65535:
            raise self.error(f"{value} is not a port", key=key, remedy="0 (any free one) to 65535")
        return value

    def number(self, key: str, *, most: int) -> int:
        """A whole number from 0, which is the default, to ``most``."""
        value = self._take(key, int, 0)
        assert isinstance(value, int)
        if not 0 <= value <= most:
            raise self.error(f"{value} is out of range", key=key, remedy=f"write a whole number from 0 to {most}")
        return value

    def texts(
        self,
        key: str,
        default: Sequence[str] | None = None,
        *,
        matching: re.Pattern[str] | None = None,
        kind: str = "name",
    ) -> list[str]:
        """A list of texts; without a default it must be there and have at least one text."""
        values = self._take(key, list, _MISSING if default is None else list(default))
        assert isinstance(values, list)
        if default is None and not values:
            raise self.error("is empty", key=key, remedy="name at least one")
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self._wrong_type(f"{key}[{index}]", str, value)
            self._match(value, f"{key}[{index}]", matching, kind)
        return values

    def entries(self, key: str, *, required: bool = True) -> list[str | Section]:
        """A list of texts and tables; if ``required`` it must be there and have at least one."""
        values = self._take(key, list, _MISSING if required else [])
        assert isinstance(values, list)
        if required and not values:
            raise self.error("is empty", key=key, remedy="name at least one")
        for index, value in enumerate(values):
            if not isinstance(value, str | dict):
                raise self._wrong_type(f"{key}[{index}]", str, value)
        return [
            value if isinstance(value, str) else self._child(f"{key}[{index}]", value)
            for index, value in enumerate(values)
        ]

    def variables(self, key: str) -> dict[str, str]:
        """A table of environment variables."""
        part = self.section(key, required=False)
        for name in part:
            part.variable(name)
        return {name: part.text(name) for name in part}

    def variable(self, name: str) -> str:
        """The name of one of its keys, which names a variable of the environment, and maybe a file."""
        if not _VARIABLE.fullmatch(name):
            raise self.error(
                f"{name!r} cannot name a variable of the environment",
                key=name,
                remedy="use letters, digits and _, a letter or _ first",
            )
        return name

    @overload
    def one_of(self, key: str, known: Collection[str]) -> str: ...
    @overload
    def one_of(self, key: str, known: Collection[str], *, required: bool) -> str | None: ...

    def one_of(self, key: str, known: Collection[str], *, required: bool = True) -> str | None:
        """The name of something that exists elsewhere in the file."""
        value = self.text(key) if required else self.optional_text(key)
        if value is None or value in known:
            return value
        near = difflib.get_close_matches(value, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
        raise self.error(f"{value!r} is unknown", key=key, remedy=remedy)

    def some_of(self, key: str, known: Collection[str]) -> list[str]:
        """Names of things that exist elsewhere in the file, at least one."""
        values = self.texts(key)
        for index, value in enumerate(values):
            if value not in known:
                raise self.error(
                    f"{value!r} is unknown",
                    key=f"{key}[{index}]",
                    remedy=f"known: {', '.join(sorted(known)) or 'none'}",
                )
        return values

    def is_table(self, key: str) -> bool:
        """Whether a table stands there, and not a value."""
        return isinstance(self._values.get(key), dict)

    def section(self, key: str, *, required: bool = True) -> Section:
        values = self._take(key, dict, _MISSING if required else {})
        assert isinstance(values, dict)
        return self._child(key, values)

    def named_sections(self, key: str, *, required: bool = True) -> dict[str, Section]:
        """The tables ``[key.NAME]`` by name, in the file's order."""
        part = self.section(key, required=required)
        for name in part:
            if not _NAME.fullmatch(name):
                raise part.error("is not a name", key=name, remedy="use lower-case letters, digits, - and _")
        return {name: part.section(name) for name in part}

    def sections(self, key: str) -> list[Section]:
        """The tables ``[[key]]``; there may be none."""
        values = self._take(key, list, [])
        assert isinstance(values, list)
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise self._wrong_type(f"{key}[{index}]", dict, value)
        return [self._child(f"{key}[{index}]", value) for index, value in enumerate(values)]

    def _child(self, key: str, values: Mapping[str, object]) -> Section:
        return Section(values, label=self._label, path=f"{self._path}.{key}" if self._path else key)

    def _take(self, key: str, kind: type, default: object) -> object:
        self._asked.add(key)
        value = self._values.get(key, default)
        if value is _MISSING:
            near = difflib.get_close_matches(key, self._values, n=1)
            remedy = f"did you mean it by {near[0]}?" if near else f"give {_TYPE_NAMES[kind]}"
            raise self.error("is missing", key=key, remedy=remedy)
        if type(value) is not kind:
            raise self._wrong_type(key, kind, value)
        return value

    def _wrong_type(self, key: str, kind: type, value: object) -> ConfigurationError:
        # The message leaves out the value: addresses and environment variables may have passwords.
        found = _TYPE_NAMES.get(type(value), type(value).__name__)
        return self.error(
            f"must be {_TYPE_NAMES[kind]}, not {found}",
            key=key,
            remedy=f"write {_TYPE_NAMES[kind]}",
        )

    def _match(self, value: str, key: str, pattern: re.Pattern[str] | None, kind: str) -> None:
        if pattern and not pattern.fullmatch(value):
            raise self.error(f"{value!r} is not a {kind}", key=key, remedy=f"it must match {pattern.pattern}")
