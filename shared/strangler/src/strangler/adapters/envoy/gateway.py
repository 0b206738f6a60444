"""Envoy behind the port that the agent speaks to."""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy.admin import fail_health, live_version, pass_health, requests_under_way
from strangler.adapters.envoy.routes import publish
from strangler.domain.routing import RouteTable
from strangler.ports.gateway import Gateway


class EnvoyGateway(Gateway):
    """Envoy with its files in ``directory`` and its admin at ``admin_url``."""

    def __init__(self, directory: Path, admin_url: str) -> None:
        self.directory = directory
        self.admin_url = admin_url

    def publish(self, table: RouteTable) -> None:
        """Renames the new routes into place; Envoy watches the folder."""
        publish(self.directory, table)

    def live_version(self) -> str | None:
        """By its statistics."""
        return live_version(self.admin_url)

    def admit(self) -> None:
        """By its health check, which passes again."""
        pass_health(self.admin_url)

    def drain(self) -> bool:
        """By its health check, which fails; the bootstrap decides whether the admin port allows this."""
        return fail_health(self.admin_url)

    def busy(self) -> bool:
        """By its count of requests that wait for their answer."""
        return requests_under_way(self.admin_url) > 0
