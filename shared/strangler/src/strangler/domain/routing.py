"""Which side answers which requests: the table that the gateway follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strangler.domain.project import MAX_BODY, MONOLITH, SERVICE, Project, Sharing
from strangler.domain.route import Route

SIDE_HEADER = "x-strangler-to"
CAPABILITY_HEADER = "x-strangler-capability"
LIMIT_HEADER = "x-strangler-max-body"
# Given to the reads that go to a copy: the capability. Testers write the other, with a side's name.
READS_HEADER = "x-strangler-reads"
ROUTE_HEADER = "x-strangler-route"
# A client without cookies sends back with it what it was given.
POSITION_HEADER = "x-strangler-position"
KEPT_COOKIE = "strangler-reads"
# Given to requests that came in at the internal listener.
INTERNAL_HEADER = "x-strangler-internal"
# W3C's: the side that bounces a request says which trace it belongs to.
TRACE_HEADER = "traceparent"
# Seconds for an answer to a request of a capability, if its route does not say.
ROUTE_SECONDS = 30.0
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ALL_TO_MONOLITH: Mapping[str, int] = {MONOLITH: 100, SERVICE: 0}
ALL_TO_SERVICE: Mapping[str, int] = {MONOLITH: 0, SERVICE: 100}


@dataclass(frozen=True, slots=True)
class CapabilityRoutes:
    """The routes of one capability, the cluster of each side, and the share of requests, in percent,
    that each side answers: ``reads`` for safe methods, ``writes`` for all others. ``epoch`` is for the gateway's log; 0
    before any move."""

    capability: str
    routes: Sequence[Route]
    clusters: Mapping[str, str]
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    epoch: int = 0

    @property
    def shared(self) -> bool:
        """Whether the side that does not own it answers reads, too."""
        return self.reads != self.writes


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes of a project at one moment. A request that no capability claims goes to ``default``, with the limits
    of ``others`` if one of these matches. A request to a path that is ``closed`` goes nowhere; nor does one that comes
    from outside to a path that is ``internal``.

    ``version`` names the moment: gateways report it back as the table they follow. ``sharing`` says how the reads of
    a capability that both sides answer are shared.
    """

    version: str
    capabilities: Sequence[CapabilityRoutes]
    default: str
    others: Sequence[Route] = ()
    closed: Sequence[str] = ()
    internal: Sequence[str] = ()
    max_body: int = MAX_BODY
    sharing: Sharing = field(default_factory=Sharing)


def untouched(project: Project, version: str = "untouched") -> RouteTable:
    """The table before any move: the monolith answers everything."""
    return table_of(
        project,
        version,
        [
            CapabilityRoutes(
                capability=capability.name,
                routes=capability.routes,
                clusters={MONOLITH: project.monolith, SERVICE: capability.process},
                reads=ALL_TO_MONOLITH,
                writes=ALL_TO_MONOLITH,
            )
            for capability in project.capabilities.values()
        ],
    )


def table_of(project: Project, version: str, capabilities: Sequence[CapabilityRoutes]) -> RouteTable:
    """The table of these capabilities, with what the project says of all other routes."""
    return RouteTable(
        version=version,
        capabilities=capabilities,
        default=project.monolith,
        others=project.gateway.routes,
        closed=project.gateway.closed,
        internal=project.gateway.hidden,
        max_body=project.gateway.max_body,
        sharing=project.sharing,
    )


def reading_methods(route: Route) -> frozenset[str]:
    """The safe methods of a route; a route that answers GET answers HEAD."""
    methods = SAFE_METHODS & route.methods if route.methods else SAFE_METHODS
    return methods | {"HEAD"} if "GET" in methods else methods


def writing_methods(route: Route) -> frozenset[str] | None:
    """The other methods of a route; ``None`` stands for any method."""
    return route.methods - SAFE_METHODS if route.methods else None
