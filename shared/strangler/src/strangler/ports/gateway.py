"""What the application asks of a gateway."""

from __future__ import annotations

from typing import Protocol

from strangler.domain.routing import RouteTable


class Gateway(Protocol):
    """Publishes a table of routes and tells which one is live."""

    def publish(self, table: RouteTable) -> None: ...
    def live_version(self) -> str | None: ...
