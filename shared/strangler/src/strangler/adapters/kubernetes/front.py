"""The Gateway and the Services to which routes belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
VERSION = "strangler/routes"


@dataclass(frozen=True, slots=True)
class Front:
    """The names that a controller uses.

    ``gateway`` is a Gateway's name, after its namespace and a ``/`` if that is another namespace; ``ports`` has the
    port of a Service by the name of its process.
    """

    name: str
    gateway: str
    ports: Mapping[str, int]
    hosts: Sequence[str] = ()
    ingress_class: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: {"app.kubernetes.io/managed-by": "strangler"})

    def metadata(self, name: str, version: str) -> dict[str, Any]:
        """The metadata of an object, with the version of the table from which it is made."""
        return {"name": name, "labels": dict(self.labels), "annotations": {VERSION: version}}


def backends(addresses: Mapping[str, str]) -> dict[str, int]:
    """The port of each process, from ``http://host:port``."""
    parts = {name: urlsplit(address) for name, address in addresses.items()}
    return {name: part.port or PORTS.get(part.scheme, 80) for name, part in parts.items()}
