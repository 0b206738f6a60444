"""What the application asks of a gateway."""

from __future__ import annotations

from typing import Protocol

from strangler.domain.routing import RouteTable


class Gateway(Protocol):
    """Publishes a table of routes and tells which one is live; lets its clients stay, or has them leave.

    Raises StackError while it cannot be asked; what was published then is live once it can.
    """

    def publish(self, table: RouteTable) -> None: ...
    def live_version(self) -> str | None: ...
    def admit(self) -> None: ...
    def drain(self) -> bool: ...
    def busy(self) -> bool: ...
