"""What nobody reaches through a gateway, however he writes it.

A process decodes a path once, and some take several slashes for one, or capitals for small letters. So each spelling is
closed that one of them might take for the path: what is closed too much would not be there anyway.
"""

from __future__ import annotations

import re

_SLASHES = r"(?:[/\\]|%2f|%5c)+(?:(?:\.|%2e)+(?:[/\\]|%2f|%5c)+)*"
# After the last sign of the path another word may go on: /administration is no part of /admin.
_END = r"(?:[^a-z0-9_.~-].*)?"


def spellings(path: str) -> str:
    """An expression (RE2 and Python) for the path, and all below it, as they are written."""
    return "(?is)" + "".join(_SLASHES if char == "/" else _spelled(char) for char in path) + _END


def _spelled(char: str) -> str:
    codes = "|".join(f"%{ord(each):02x}" for each in sorted({char.lower(), char.upper()}))
    return f"(?:{re.escape(char)}|{codes})"
