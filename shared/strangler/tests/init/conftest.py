"""The project `guild` is asked by tests, and is none of them."""

from __future__ import annotations

collect_ignore = ["guild"]
