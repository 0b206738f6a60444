"""The table of routes that follows from the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from strangler.domain.move import Move
from strangler.domain.project import MONOLITH, SERVICE, Project
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, CapabilityRoutes, RouteTable, table_of


def epochs(moves: Sequence[Move]) -> dict[str, int]:
    """The epochs that an agent may report once this table is live."""
    return {move.capability: move.epoch for move in moves}


def table(project: Project, moves: Sequence[Move]) -> RouteTable:
    """Leads each capability's routes to its owner; all others stay with the monolith."""
    known = epochs(moves)
    owners = {move.capability: move.owner for move in moves}
    capabilities = []
    for capability in project.capabilities.values():
        shares = ALL_TO_SERVICE if owners.get(capability.name) == SERVICE else ALL_TO_MONOLITH
        capabilities.append(
            CapabilityRoutes(
                capability=capability.name,
                routes=capability.routes,
                clusters={MONOLITH: project.monolith, SERVICE: capability.process},
                reads=shares,
                writes=shares,
                epoch=known.get(capability.name, 0),
            )
        )
    version = ",".join(f"{move.capability}@{move.epoch}:{move.owner}" for move in moves) or "untouched"
    return table_of(project, version, capabilities)
