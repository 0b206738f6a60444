"""How often somebody may ask, in ``strangler.toml``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from strangler.adapters import toml_routes
from strangler.adapters.toml_addresses import Addresses
from strangler.adapters.toml_section import Section
from strangler.domain.limit import ACCOUNT, CLIENT, EVERYTHING, Limit
from strangler.domain.project import Gateway

# As REST framework writes a rate.
_RATE = re.compile(r"(?P<requests>[1-9][0-9]{0,8})/(?P<unit>s(?:ec(?:ond)?)?|m(?:in(?:ute)?)?|h(?:our)?|d(?:ay)?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def read(part: Section, addresses: Addresses) -> Iterator[Limit]:
    """The tables ``limits.NAME``; one whose rate is left to the environment, and is not there, limits nothing.

    All are counted by the service at ``limits_service`` too, if there is one.
    """
    service = _service(part, addresses)
    for name, each in part.named_sections("limits", required=False).items():
        limit = _limit(name, each, addresses, service)
        each.close()
        if limit is not None:
            yield limit


def check(gateway: Gateway, part: Section) -> None:
    """Raises ConfigurationError for a limit of accounts where the gateway knows none."""
    for limit in gateway.limits:
        if limit.per == ACCOUNT and not gateway.issuers:
            raise part.error(
                "counts accounts, and the gateway knows none",
                key=f"limits.{limit.name}.per",
                remedy='name who issues tokens, [gateway.tokens.NAME], and let routes ask for one: auth = "required"',
            )


def _service(part: Section, addresses: Addresses) -> str:
    found = addresses.web(part, "limits_service", required=False)
    if found is None:
        return ""
    if found.secret.startswith("https:"):
        raise part.error(
            "is asked by gRPC without TLS, and the address is https",
            key="limits_service",
            remedy="write it as http://host:port; where the way is not safe, let a mesh encrypt it",
        )
    return found.secret


def _limit(name: str, part: Section, addresses: Addresses, service: str) -> Limit | None:
    text, per = addresses.text(part, "rate"), part.one_of("per", (CLIENT, ACCOUNT), required=False) or CLIENT
    routes = tuple(toml_routes.read(part, "routes", required=False)) or (EVERYTHING,)
    if text is None:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        raise part.error(f"{text!r} is not a rate", key="rate", remedy='write "20/s", "60/min", "1000/h" or "5000/day"')
    return Limit(name, int(match["requests"]), _SECONDS[match["unit"][0]], per, routes, service)
