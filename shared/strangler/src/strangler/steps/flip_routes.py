"""Step 8b of a switch: the gateways send requests straight to the new owner."""

from __future__ import annotations

import time

from strangler.steps.step import Step
from strangler.steps.switching import Switch

FLIP_SECONDS = 10.0
AGENT_SECONDS = 5.0  # an agent that has not been seen for so long does not count


def flipped(move: Switch) -> bool:
    """Whether every gateway agent has the new owner's epoch live."""
    agents = move.ledger.agents(within=AGENT_SECONDS)
    return bool(agents) and all(epochs.get(move.capability, 0) >= move.target for epochs in agents.values())


class FlipRoutes(Step[Switch]):
    """Waits for the agents, which follow the ledger by themselves; until then requests are bounced."""

    name = "flip routes"

    def start(self, move: Switch) -> None:
        """Returns when the agents say so, or after a while: no request depends on it."""
        deadline = time.monotonic() + FLIP_SECONDS
        while not flipped(move) and time.monotonic() < deadline:
            time.sleep(0.005)
