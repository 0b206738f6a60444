"""Envoy behind the port that the agent speaks to."""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy.admin import live_version
from strangler.adapters.envoy.routes import publish
from strangler.domain.routing import RouteTable


class EnvoyGateway:
    """Envoy with its files in ``directory`` and its admin at ``admin_url``."""

    def __init__(self, directory: Path, admin_url: str) -> None:
        self.directory = directory
        self.admin_url = admin_url

    def publish(self, table: RouteTable) -> None:
        """Renames the new routes into place."""
        publish(self.directory, table)

    def live_version(self) -> str | None:
        """The version Envoy routes by, or None while it does not answer."""
        return live_version(self.admin_url)
