"""Headers of answers, in ``strangler.toml``, by which browsers protect."""

from __future__ import annotations

import difflib
import re

from strangler.adapters.toml_section import Section

# Each says what a browser may do with an answer. Others mean something to the application, to proxies or to Envoy.
KNOWN = (
    "Content-Security-Policy",
    "Content-Security-Policy-Report-Only",
    "Cross-Origin-Embedder-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "Referrer-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
)
_VALUE = re.compile(r"[!-~](?:[ -~]{0,2000}[!-~])?")
_HSTS = re.compile(r"max-age=\d{1,10}(?: *; *(?:includeSubDomains|preload))*")


def read(part: Section) -> dict[str, str]:
    """The table ``headers``."""
    table = part.section("headers", required=False)
    known = {name.lower(): name for name in KNOWN}
    found: dict[str, str] = {}
    for key in table:
        name = known.get(key.lower())
        if name is None or name in found:
            near = difflib.get_close_matches(key.lower(), known, n=1)
            raise table.error(
                "is there twice" if name else "is no header that the gateway adds",
                key=key,
                remedy=f"did you mean {known[near[0]]}?"
                if near and not name
                else f"write each once; known: {', '.join(KNOWN)}",
            )
        found[name] = _value(table, key, name)
    table.close()
    return found


def _value(table: Section, key: str, name: str) -> str:
    value = table.text(key)
    if not _VALUE.fullmatch(value):
        raise table.error(
            "is no value of a header: no client would read it as it is meant",
            key=key,
            remedy="write one line of ASCII without blanks at its ends, or take the key away",
        )
    if name == "Strict-Transport-Security" and not _HSTS.fullmatch(value):
        raise table.error(
            f"{value!r} is not what browsers know: they would ignore it",
            key=key,
            remedy='write "max-age=31536000", and "; includeSubDomains" if all names below this one have https',
        )
    return value
