"""Envoy behind the port that the agent speaks to."""

from __future__ import annotations

from pathlib import Path

from strangler.adapters.envoy.admin import fail_health, live_version, pass_health, requests_under_way
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
        """The version Envoy routes by, or None before the first one; raises StackError while it does not answer."""
        return live_version(self.admin_url)

    def admit(self) -> None:
        """Lets clients stay, also after a `drain`; raises StackError when Envoy does not answer."""
        pass_health(self.admin_url)

    def drain(self) -> bool:
        """Has clients leave, each after its next answer; False where this Envoy lets nobody do it.

        Raises:
            StackError: Envoy does not answer.
        """
        return fail_health(self.admin_url)

    def busy(self) -> bool:
        """Whether a request is under way; raises StackError when Envoy does not answer."""
        return requests_under_way(self.admin_url) > 0
