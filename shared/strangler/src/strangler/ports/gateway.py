"""What the application asks of a gateway."""

from __future__ import annotations

from typing import Protocol

from strangler.domain.routing import RouteTable


class Gateway(Protocol):
    """Publishes a table of routes and tells which one is live; lets its clients stay, or has them leave.

    Each method may be called again. All but `publish` ask the gateway itself.

    Raises:
        StackError: by those that ask: the gateway does not answer.
    """

    def publish(self, table: RouteTable) -> None:
        """Hands the table over, in place of the one before; the gateway routes by it within moments.

        A gateway that is away routes by it once it is back. No gateway ever finds half of a table.
        """
        ...

    def live_version(self) -> str | None:
        """The version of the table that the gateway routes by now. None: it has had none yet."""
        ...

    def admit(self) -> None:
        """Lets clients stay, also after a `drain`."""
        ...

    def drain(self) -> bool:
        """Has clients leave, each after its next answer; new ones are still served.

        False: this gateway does not allow it, and its clients stay.
        """
        ...

    def busy(self) -> bool:
        """Whether a request is under way."""
        ...
