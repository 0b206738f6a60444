"""Addresses in ``strangler.toml``, and numbers that differ by place: the file has them, or leaves them to the
environment.

Note "one file": ``url_env = "X"`` leaves an address to the variable X, or to the file that X_FILE names, such as a
mounted Secret. The variable may be missing for a server that the local stack can run itself: then the stack runs it. So
one file serves a laptop, where no variable is set, and a cluster, where all are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from strangler.adapters.postgres.session import dsn
from strangler.adapters.toml_section import Section
from strangler.domain.address import ENCODE, Address, flaw_of_broker, flaw_of_web
from strangler.domain.errors import ConfigurationError

# The form of a variable's name; an address that stands in its place does not match.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS = re.compile(r"[0-9]{1,9}")
_PLAIN = "write it as http://host:port; a password belongs to what stands before the server, not into its address"

Flaw = Callable[[str], tuple[str, str] | None]
"""What is wrong with an address, and what to do about it."""


class Addresses:
    """Reads addresses with an ``environment``; without one ``$X`` stands for the value that X will have."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self._environment = environment

    def database(self, part: Section, key: str, *, required: bool = True) -> Address | None:
        """The address of a database; see ``_read``.

        Raises:
            ConfigurationError: it cannot be used; the error shows no part of it.
        """
        return self._checked(part, key, dsn.flaw, required=required)

    def web(self, part: Section, key: str, *, required: bool = True) -> Address | None:
        """The same for a process or a gateway; paths of requests are appended to it unchanged."""
        found = self._checked(part, key, lambda text: _with_remedy(flaw_of_web(text), _PLAIN), required=required)
        return found and Address(found.secret.rstrip("/"))

    def broker(self, part: Section, key: str, *, required: bool = True) -> Address | None:
        """The same for a broker."""
        return self._checked(part, key, lambda text: _with_remedy(flaw_of_broker(text), ENCODE), required=required)

    def _checked(self, part: Section, key: str, flaw: Flaw, *, required: bool) -> Address | None:
        found, place = self._read(part, key, required=required)
        if found is None or (self._environment is None and place != key):
            return None if found is None else Address(found)
        wrong = flaw(found)
        if wrong:
            variable = part.optional_text(f"{key}_env")
            message, remedy = wrong
            raise part.error(f"what {variable} holds {message}" if variable else message, key=place, remedy=remedy)
        return Address(found)

    def _read(self, part: Section, key: str, *, required: bool) -> tuple[str | None, str]:
        """The value of ``key``, or of the environment variable that ``key_env`` names, and which of the two it comes
        from; None if the file has neither.

        Raises:
            ConfigurationError: both are written, or the variable is ``required`` and not set; see the note "one file".
        """
        value, variable = part.optional_text(key), part.optional_text(f"{key}_env")
        if value and variable:
            raise _both_given(part, key)
        if variable is None:
            return value, key
        _check_variable(part, f"{key}_env", variable)
        if self._environment is None:
            return f"${variable}", f"{key}_env"
        held = self._held(part, f"{key}_env", variable)
        if held is None and required:
            raise part.error(
                f"the environment variable {variable} is not set",
                key=f"{key}_env",
                remedy=f"export {variable}=… before running the command, or name a file in {variable}_FILE",
            )
        return held, f"{key}_env"

    def number(self, part: Section, key: str, *, most: int) -> int:
        """The whole number at ``key``, or in the environment variable that ``key_env`` names; 0 where neither is given.

        Raises:
            ConfigurationError: both are given, or it is no number from 0 to ``most``.
        """
        value, variable = part.number(key, most=most), part.optional_text(f"{key}_env")
        if value and variable:
            raise _both_given(part, key)
        if variable is None:
            return value
        _check_variable(part, f"{key}_env", variable)
        if self._environment is None:
            return value
        held = self._held(part, f"{key}_env", variable)
        if held is None:
            return value
        if not _DIGITS.fullmatch(held) or int(held) > most:
            raise part.error(
                f"{variable} holds no such number",
                key=f"{key}_env",
                remedy=f"set it to a whole number from 0 to {most}",
            )
        return int(held)

    def text(self, part: Section, key: str) -> str | None:
        """The text at ``key``, or in the environment variable that ``key_env`` names; None where neither is given, and
        where the environment is not read.

        Raises:
            ConfigurationError: the file has neither key, or both.
        """
        if self._environment is None and f"{key}_env" in part:
            part.optional_text(f"{key}_env")
            return None
        found, place = self._read(part, key, required=False)
        if found is None and place == key:
            raise part.error("is missing", key=key, remedy=f'write it, or {key}_env = "VARIABLE"')
        return found

    def _held(self, part: Section, key: str, variable: str) -> str | None:
        assert self._environment is not None
        value, file = self._environment.get(variable), self._environment.get(f"{variable}_FILE")
        if value and file:
            raise part.error(f"{variable} and {variable}_FILE are both set", key=key, remedy="unset one of the two")
        if not file:
            return value or None
        # The message does not name the file: somebody may have given the address itself in its place, and it must not
        # be logged.
        try:
            content = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise part.error(
                f"the file, which {variable}_FILE names, cannot be read: {reason}",
                key=key,
                remedy="see that it is mounted, and that this user may read it",
            ) from None
        if not content:
            raise part.error(
                f"the file, which {variable}_FILE names, is empty", key=key, remedy="write the value there"
            )
        return content


def _both_given(part: Section, key: str) -> ConfigurationError:
    return part.error(f"{key} and {key}_env are both given", key=f"{key}_env", remedy="keep one of the two")


def _with_remedy(flaw: str | None, remedy: str) -> tuple[str, str] | None:
    return (flaw, remedy) if flaw else None


def _check_variable(part: Section, key: str, variable: str) -> None:
    if not _VARIABLE.fullmatch(variable):
        raise part.error(
            "is not the name of an environment variable",
            key=key,
            remedy=f"write a name of letters, digits and _ here; an address itself is written at {key[:-4]}",
        )


def is_written(part: Section, key: str) -> bool:
    """Whether the file has an address at all, known already or not."""
    return bool(part.optional_text(key) or part.optional_text(f"{key}_env"))
