"""Addresses in ``strangler.toml``: written there, or left to the environment.

Note "one file": ``url_env = "X"`` leaves an address to the variable X, or to the file that X_FILE names, as a mounted
Secret. Beside what the local stack would run itself the variable may be missing: then it runs it. So one file serves a
laptop, where none is set, and a cluster, where all are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from strangler.adapters.toml_section import Section


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
            raise part.error(f"{key} and {key}_env are both given", key=f"{key}_env", remedy="keep one of the two")
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
            raise part.error(
                f"{file}, which {variable}_FILE names, is empty", key=key, remedy="write the address there"
            )
        return content


def is_written(part: Section, key: str) -> bool:
    """Whether there is an address at all, known already or not."""
    return bool(part.optional_text(key) or part.optional_text(f"{key}_env"))
