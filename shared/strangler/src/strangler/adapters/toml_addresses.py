"""Addresses in ``strangler.toml``, and numbers that differ by place: written there, or left to the environment.

Note "one file": ``url_env = "X"`` leaves an address to the variable X, or to the file that X_FILE names, as a mounted
Secret. Beside what the local stack would run itself the variable may be missing: then it runs it. So one file serves a
laptop, where none is set, and a cluster, where all are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from strangler.adapters.toml_section import Section
from strangler.domain.errors import ConfigurationError

_DIGITS = re.compile(r"[0-9]{1,9}")


class Addresses:
    """Reads addresses, in an ``environment``; without one ``$X`` stands for whatever X will hold."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self._environment = environment

    def read(self, part: Section, key: str, *, required: bool = True) -> str | None:
        """The value of ``key``, or of the environment variable that ``key_env`` names; None where neither is written.

        Raises:
            ConfigurationError: both are written, or the variable is ``required`` and not set; see the note "one file".
        """
        value, variable = part.optional_text(key), part.optional_text(f"{key}_env")
        if value and variable:
            raise _both_given(part, key)
        if variable is None:
            return value
        if self._environment is None:
            return f"${variable}"
        held = self._held(part, f"{key}_env", variable)
        if held is None and required:
            raise part.error(
                f"the environment variable {variable} is not set",
                key=f"{key}_env",
                remedy=f"export {variable}=… before running the command, or name a file in {variable}_FILE",
            )
        return held

    def number(self, part: Section, key: str, *, most: int) -> int:
        """The whole number at ``key``, or in the environment variable that ``key_env`` names; 0 where neither is given.

        Raises:
            ConfigurationError: both are given, or it is no number from 0 to ``most``.
        """
        value, variable = part.number(key, most=most), part.optional_text(f"{key}_env")
        if value and variable:
            raise _both_given(part, key)
        if variable is None or self._environment is None:
            return value
        held = self._held(part, f"{key}_env", variable)
        if held is None:
            return value
        if not _DIGITS.fullmatch(held) or int(held) > most:
            raise part.error(
                f"{variable} holds {held!r}", key=f"{key}_env", remedy=f"set it to a whole number from 0 to {most}"
            )
        return int(held)

    def _held(self, part: Section, key: str, variable: str) -> str | None:
        assert self._environment is not None
        value, file = self._environment.get(variable), self._environment.get(f"{variable}_FILE")
        if value and file:
            raise part.error(f"{variable} and {variable}_FILE are both set", key=key, remedy="unset one of the two")
        if not file:
            return value or None
        try:
            content = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise part.error(
                f"{file}, which {variable}_FILE names, cannot be read: {error}",
                key=key,
                remedy="see that it is mounted, and that this user may read it",
            ) from error
        if not content:
            raise part.error(f"{file}, which {variable}_FILE names, is empty", key=key, remedy="write the value there")
        return content


def _both_given(part: Section, key: str) -> ConfigurationError:
    return part.error(f"{key} and {key}_env are both given", key=f"{key}_env", remedy="keep one of the two")


def is_written(part: Section, key: str) -> bool:
    """Whether there is an address at all, known already or not."""
    return bool(part.optional_text(key) or part.optional_text(f"{key}_env"))
