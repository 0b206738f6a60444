"""Paths that nobody reaches through a gateway, however they are written.

A process decodes a path once. Some processes take several slashes for one, or capitals for small letters. So each
spelling that one of them might take for the path is closed. A spelling that no process takes for it leads nowhere
anyway, so it does no harm to close that too.
"""

from __future__ import annotations

import re

_SLASHES = r"(?:[/\\]|%2f|%5c)+(?:(?:\.|%2e)+(?:[/\\]|%2f|%5c)+)*"
# A longer word may begin with the path: /administration is no part of /admin.
_END = r"(?:[^a-z0-9_.~-].*)?"


def spellings(path: str) -> str:
    """An expression (RE2 and Python) for every spelling of the path and of all paths below it."""
    return "(?is)" + "".join(_SLASHES if char == "/" else _spelled(char) for char in path) + _END


def _spelled(char: str) -> str:
    codes = "|".join(f"%{ord(each):02x}" for each in sorted({char.lower(), char.upper()}))
    return f"(?:{re.escape(char)}|{codes})"
