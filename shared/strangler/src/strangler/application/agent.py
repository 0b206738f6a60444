"""The gateway agent: follows the ledger, and reports which routes its gateway has live."""

from __future__ import annotations

import time
from collections.abc import Sequence

from strangler.application import routes
from strangler.domain.move import Move
from strangler.domain.project import Project
from strangler.domain.routing import RouteTable
from strangler.ports.gateway import Gateway
from strangler.ports.ledger import Ledger
from strangler.ports.side import LostError

LIVE_SECONDS = 5.0
DRAIN_SECONDS = 25.0
HEARTBEAT_SECONDS = 1.0


def prepare(project: Project, ledger: Ledger, gateway: Gateway) -> str:
    """Publishes the present table for a gateway that has not started yet, and returns the table's version.

    An agent may be at work on the same gateway: the table that is published last is never older than the ledger.
    """
    while True:
        table = routes.table(project, ledger.moves())
        gateway.publish(table)
        if routes.table(project, ledger.moves()).version == table.version:
            return table.version


class Agent:
    """Keeps one gateway at what the ledger says.

    ``live`` is the version of the present table once the gateway has it, and None before. It stays while the ledger is
    away, for no owner changes then.
    """

    def __init__(self, name: str, project: Project, ledger: Ledger, gateway: Gateway) -> None:
        self.name = name
        self.project = project
        self.ledger = ledger
        self.gateway = gateway
        self.live: str | None = None
        self._listening = False
        self._admitted = False
        self._published: str | None = None

    def follow(self) -> None:
        """Publishes the present table, waits until it is live, reports, and waits for the next change or heartbeat.

        Raises:
            StranglerError: the ledger or the gateway is away; the caller calls again.
        """
        try:
            moves = self._moves()
            if self._has_live(routes.table(self.project, moves)):
                self.ledger.agent_seen(self.name, routes.epochs(moves))
            self.ledger.await_change(within=HEARTBEAT_SECONDS)
        except LostError:
            self._listening = False
            raise

    def drain(self) -> None:
        """Has the gateway's clients leave, and goes on following the ledger while it has requests under way.

        Raises:
            StranglerError: the ledger or the gateway is away.
        """
        deadline = time.monotonic() + DRAIN_SECONDS
        if self.gateway.drain():
            while self.gateway.busy() and time.monotonic() < deadline:
                self.follow()

    def leave(self) -> None:
        """Says that nobody has to wait for this gateway any more.

        Raises:
            StranglerError: the ledger is away; after some seconds nobody waits for this gateway all the same.
        """
        self.ledger.agent_gone(self.name)

    def _moves(self) -> Sequence[Move]:
        if not self._listening:
            # An agent with a role of its own may read what is there, and may make nothing.
            if not self.ledger.exists():
                self.ledger.install()
            self.ledger.listen()
            self._listening = True
        return self.ledger.moves()

    def _has_live(self, table: RouteTable) -> bool:
        if self.live != table.version:
            self.live = None
        # Before the gateway is asked, so that a gateway which is starting, or starts again, finds the present table.
        if self._published != table.version or self._was_replaced(table.version):
            self._publish(table)
        if not self._admitted:
            self.gateway.admit()
            self._admitted = True
        if not self._await_live(table.version):
            self._published = self.live = None
            return False
        self.live = table.version
        return True

    def _was_replaced(self, version: str) -> bool:
        """Whether the gateway routes by another table now: somebody else has written one, or it is a new gateway."""
        return self.live == version and self.gateway.live_version() != version

    def _publish(self, table: RouteTable) -> None:
        self.gateway.publish(table)
        self._published = table.version

    def _await_live(self, version: str) -> bool:
        deadline = time.monotonic() + LIVE_SECONDS
        while self.gateway.live_version() != version:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True
