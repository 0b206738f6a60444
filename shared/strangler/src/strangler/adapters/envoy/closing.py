"""What nobody reaches through the gateway, however he writes it.

A process decodes a path once, and some take several slashes for one, or capitals for small letters. So each spelling is
closed that one of them might take for the path: what is closed too much would not be there anyway.
"""

from __future__ import annotations

import json
import re
from typing import Any

from strangler.adapters.envoy.buffering import UNBUFFERED

_SLASHES = r"(?:[/\\]|%2f|%5c)+(?:(?:\.|%2e)+(?:[/\\]|%2f|%5c)+)*"
# After the last sign of the path another word may go on: /administration is no part of /admin.
_END = r"(?:[^a-z0-9_.~-].*)?"


def closed_route(path: str) -> dict[str, Any]:
    """Answers the path, and all below it, with 404."""
    return {
        "name": "closed",
        "match": {"safe_regex": {"regex": spellings(path)}},
        "direct_response": {"status": 404, "body": {"inline_string": json.dumps({"detail": "Not found."})}},
        **UNBUFFERED,
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def spellings(path: str) -> str:
    """An expression (RE2 and Python) for whole paths as they are written."""
    return "(?is)" + "".join(_SLASHES if char == "/" else _spelled(char) for char in path) + _END


def _spelled(char: str) -> str:
    codes = "|".join(f"%{ord(each):02x}" for each in sorted({char.lower(), char.upper()}))
    return f"(?:{re.escape(char)}|{codes})"
