"""The gateway agent: follows the ledger, and says what its gateway has live."""

from __future__ import annotations

import time

from strangler.application import routes
from strangler.domain.project import Project
from strangler.ports.gateway import Gateway
from strangler.ports.ledger import Ledger

LIVE_SECONDS = 5.0
HEARTBEAT_SECONDS = 1.0


class Agent:
    """Keeps one gateway at what the ledger says."""

    def __init__(self, name: str, project: Project, ledger: Ledger, gateway: Gateway) -> None:
        self.name = name
        self.project = project
        self.ledger = ledger
        self.gateway = gateway
        self._listening = False

    def follow(self) -> None:
        """Publishes the present table, waits until it is live, reports, and waits for the next change or heartbeat."""
        if not self._listening:
            self.ledger.install()
            self.ledger.listen()
            self._listening = True
        moves = self.ledger.moves()
        table = routes.table(self.project, moves)
        if self.gateway.live_version() != table.version:
            self.gateway.publish(table)
            self._await_live(table.version)
        if self.gateway.live_version() == table.version:
            self.ledger.agent_seen(self.name, routes.epochs(moves))
        self.ledger.await_change(within=HEARTBEAT_SECONDS)

    def _await_live(self, version: str) -> None:
        deadline = time.monotonic() + LIVE_SECONDS
        while self.gateway.live_version() != version and time.monotonic() < deadline:
            time.sleep(0.005)
