"""The table of routes that follows from the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from strangler.domain import canary
from strangler.domain.canary import TURN
from strangler.domain.move import Move
from strangler.domain.project import MONOLITH, SERVICE, Project
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable, table_of


def epochs(moves: Sequence[Move]) -> dict[str, int]:
    """The epochs that an agent may report once this table is live, and how often each canary has been changed."""
    turns = {f"{move.capability}{TURN}": canary.of(move).turn for move in moves}
    return {**{move.capability: move.epoch for move in moves}, **turns}


def table(project: Project, moves: Sequence[Move]) -> RouteTable:
    """Leads each capability's routes to its owner, and the share of a canary to the copy; all others stay with the
    monolith."""
    known = epochs(moves)
    owners = {move.capability: move.owner for move in moves}
    weights = {move.capability: canary.of(move).weight for move in moves}
    capabilities = []
    for capability in project.capabilities.values():
        shares = ALL_TO_SERVICE if owners.get(capability.name) == SERVICE else ALL_TO_MONOLITH
        weight = weights.get(capability.name, 0)
        capabilities.append(
            CapabilityRoutes(
                capability=capability.name,
                routes=capability.routes,
                clusters={MONOLITH: project.monolith, SERVICE: capability.process},
                reads={MONOLITH: 100 - weight, SERVICE: weight} if weight else shares,
                writes=shares,
                epoch=known.get(capability.name, 0),
            )
        )
    version = ",".join(map(_version, moves)) or "untouched"
    return table_of(project, version, capabilities)


def _version(move: Move) -> str:
    shared = canary.of(move)
    share = f"/{shared.weight}%{TURN}{shared.turn}" if shared.weight else ""
    return f"{move.capability}@{move.epoch}:{move.owner}{share}"
