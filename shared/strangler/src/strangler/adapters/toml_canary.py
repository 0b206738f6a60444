"""How reads are shared in a canary, in ``strangler.toml``."""

from __future__ import annotations

import re

from strangler.adapters.toml_section import Section
from strangler.domain.project import Sharing

_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
# Headers that say the same of every client, or that the gateway takes away or writes itself.
_NOBODYS = re.compile(r"(?i)host|cookie|content-.*|x-strangler-.*|x-envoy-.*|x-forwarded-.*|x-request-id")
MOST_MILLISECONDS = 60_000


def read(root: Section) -> Sharing:
    """The table ``canary``."""
    part = root.section("canary", required=False)
    usual = Sharing()
    sharing = Sharing(
        header=_header(part),
        testers=part.boolean("testers", default=usual.testers),
        max_lag_ms=_milliseconds(part, "max_lag_ms", usual.max_lag_ms, least=100),
        wait_ms=_milliseconds(part, "wait_ms", usual.wait_ms, least=0),
        strict=part.boolean("strict", default=usual.strict),
    )
    if sharing.wait_ms > sharing.max_lag_ms:
        raise part.error(
            "is more than max_lag_ms: a copy that is so far behind answers nobody",
            key="wait_ms",
            remedy="write a smaller number",
        )
    part.close()
    return sharing


def _header(part: Section) -> str | None:
    header = part.text("header", matching=_HEADER) if "header" in part else None
    if header and _NOBODYS.fullmatch(header):
        raise part.error(
            f"{header} does not tell one client from another",
            key="header",
            remedy="name one that each client sends with a value of its own, such as Authorization, or take the key "
            "away: then a cookie of the gateway does it",
        )
    return header.lower() if header else None


def _milliseconds(part: Section, key: str, usual: int, *, least: int) -> int:
    value = part.number(key, most=MOST_MILLISECONDS) if key in part else usual
    if value < least:
        raise part.error(f"{value} is out of range", key=key, remedy=f"write a whole number from {least} on")
    return value
