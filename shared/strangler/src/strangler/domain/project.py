"""What ``strangler.toml`` says: the databases, processes and capabilities of one project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from strangler.domain.limit import Limit
from strangler.domain.route import Route

MONOLITH = "monolith"
SERVICE = "service"
MAX_BODY = 16 * 1024 * 1024
JWKS_AGE = 300
# Where Debian's and Alpine's images, and Envoy's own, have them.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# What the chassis answers when a process is asked how it is.
HEALTH = ("/healthz", "/readyz")
# The files of Django's admin say which version of Django it is.
ADMIN = ("/admin", "/static/admin")
OPENABLE = (*ADMIN, "/metrics", *HEALTH)
# Where the two sides of a move ask each other, by their own addresses. It is never open.
PEERS = "/.strangler"
CLOSED = (*OPENABLE, PEERS)


@dataclass(frozen=True, slots=True)
class Database:
    """A PostgreSQL database.

    It is either ``embedded`` (the local stack starts a server for it), or reached by ``url``;
    ``replication_url`` is the address under which the *other database server* reaches it,
    if that differs. ``outbox`` names the table in which its applications leave events for a relay.
    ``app_url`` is the address for applications, by a role that may do less than the tool's.
    ``variable`` names the environment variable that holds the address, where the file leaves it to the environment.
    """

    name: str
    embedded: bool = False
    url: str | None = None
    replication_url: str | None = None
    app_url: str | None = None
    outbox: str | None = None
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A program of the project.

    With a ``command`` the local stack runs it in ``directory``. With only an ``address`` it runs
    elsewhere and is only spoken to. ``http`` processes get a free ``PORT`` and are ready when
    ``GET health`` answers 200. ``python`` is the interpreter of an environment whose programs come first; without one
    these are the tool's own. ``address_variable`` is the one that the file names for its address: the local stack
    tells it to all processes.
    """

    name: str
    directory: Path | None = None
    command: Sequence[str] = ()
    python: Path | None = None
    database: str | None = None
    migrate: Sequence[str] = ()
    http: bool = False
    health: str = "/readyz"
    address: str | None = None
    address_variable: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loader:
    """The command that fills the ledger's database with the project's data."""

    process: str
    command: Sequence[str]
    sample: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that points into a capability from a table that does not move with it.

    ``deletes`` says whether rows of the capability may be deleted while that table is owned elsewhere. ``to`` is the
    column, or ``table.column``, that it points at; it is needed where the database has no constraint that says so.
    """

    table: str
    column: str
    deletes: bool = True
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """A foreign key ``table.column`` of a moved table to a table that stays.

    ``deletes`` says whether rows that it points at may be deleted while the service owns the table."""

    table: str
    column: str
    deletes: bool = True


@dataclass(frozen=True, slots=True)
class Capability:
    """What moves as one: tables, routes, and the service that will own them; ``sequences`` are those of its sequences
    that no column names."""

    name: str
    tables: Sequence[str]
    routes: Sequence[Route]
    process: str
    database: str
    references: Sequence[Reference] = ()
    sequences: Sequence[str] = ()
    parents: Sequence[Parent] = ()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs tokens: ``jwks`` is where the public keys are (a JSON Web Key Set), a path at this gateway or a whole
    address.

    The keys are asked for again after ``jwks_age`` seconds. A token is for one of the ``audiences``, if there are any,
    and says it is of ``issuer``, if there is one. ``ca`` is the file, on the gateway's machine, with the authorities
    that are trusted for an address with https.
    """

    name: str
    jwks: str
    audiences: Sequence[str] = ()
    issuer: str | None = None
    jwks_age: int = JWKS_AGE
    ca: str = AUTHORITIES

    @property
    def is_here(self) -> bool:
        """Whether the gateway itself leads to the keys."""
        return self.jwks.startswith("/")


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where Envoy listens (0: any free port), or the address of an Envoy that runs elsewhere, and the address of its
    admin if that can be reached from here.

    ``trusted_hops`` is the number of the project's own proxies that each request from outside has passed before it
    comes here. ``max_body`` is the largest body in bytes where a route does not say. ``routes`` have limits and belong
    to no capability. ``closed`` are the paths that nobody reaches through it, with all paths below them. A route that
    needs a token takes one of any of the ``issuers``. ``limits`` say how often somebody may ask. Clients get the
    ``headers`` with each answer that does not have them already.

    ``internal`` are the paths, with all below them, at which the project's processes ask each other. If there are any,
    Envoy has a second listener for them, at ``internal_port`` or ``internal_address``; from outside they are reached
    only as far as they are in ``opened``. So is what is closed by itself.
    """

    port: int = 0
    admin_port: int = 0
    internal_port: int = 0
    address: str | None = None
    internal_address: str | None = None
    admin: str | None = None
    directory: Path | None = None
    trusted_hops: int = 0
    max_body: int = MAX_BODY
    routes: Sequence[Route] = ()
    closed: Sequence[str] = CLOSED
    internal: Sequence[str] = ()
    opened: Sequence[str] = ()
    issuers: Sequence[Issuer] = ()
    limits: Sequence[Limit] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    tell_sides: bool = False  # whether answers say which side of which capability they come from

    @property
    def health(self) -> Sequence[str]:
        """The paths at which the gateway says itself how it is."""
        return [path for path in HEALTH if path not in self.opened]

    @property
    def hidden(self) -> Sequence[str]:
        """The internal paths that are not reached from outside."""
        return [path for path in self.internal if path not in self.opened]

    @property
    def largest_body(self) -> int:
        """The largest body that any route of no capability may be sent."""
        return max([self.max_body, *(route.max_body or 0 for route in self.routes)])


@dataclass(frozen=True, slots=True)
class Sharing:
    """How both sides share the reads of a capability in a canary.

    Who sends the ``header`` stays at one side by its value; all others by a cookie of the gateway. ``testers`` may
    choose the side. A copy that is more than ``max_lag_ms`` behind answers nobody, and a read waits there for
    ``wait_ms`` at most. Unless ``strict``, the copy also answers clients who may have lost their position.
    """

    header: str | None = None
    testers: bool = True
    max_lag_ms: int = 5000
    wait_ms: int = 150
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Project:
    """The whole of ``strangler.toml``; ``ledger`` names the monolith's database and ``monolith`` its web process.

    The kind of a secret is ``text`` or ``ed25519``, or ``text-each`` or ``ed25519-each``: of these the processes of
    each database have one of their own, and of ``ed25519-each`` all the others have the public half."""

    path: Path
    name: str
    state: Path
    ledger: str
    monolith: str
    databases: Mapping[str, Database]
    processes: Mapping[str, Process]
    capabilities: Mapping[str, Capability]
    stays: Sequence[str]
    gateway: Gateway = field(default_factory=Gateway)
    sharing: Sharing = field(default_factory=Sharing)
    secrets: Mapping[str, str] = field(default_factory=dict)
    # By secret, the databases whose processes get it; a secret that is not named here goes to all of them.
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    loader: Loader | None = None
    scenario: str | None = None
    script: Path | None = None
    broker_url: str | None = None
    broker_variable: str | None = None
    brokered: bool = True  # whether its processes have a broker
    staying_sequences: Sequence[str] = ()
    # What the project calls `chassis.process.faults.slow` with.
    slow_calls: Sequence[str] = ()
    # The folder of an installed PostgreSQL's programs, for the databases that the local stack runs.
    postgres: Path | None = None

    @property
    def fronts(self) -> list[str]:
        """The web processes without a database: each is a service of its own, and has secrets under its name."""
        without = (name for name, each in self.processes.items() if each.http and each.database is None)
        return [name for name in without if name not in self.databases]

    @property
    def largest_body(self) -> int:
        """The largest body that any route may be sent."""
        routes = [route for capability in self.capabilities.values() for route in capability.routes]
        return max([self.gateway.largest_body, *(route.max_body or 0 for route in routes)])


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The present addresses of everything: the answer of ``strangler env --json``, without process ids."""

    gateway: str
    envoy_admin: str
    broker: str
    databases: Mapping[str, str]
    addresses: Mapping[str, str]
    internal: str = ""  # where processes ask each other
