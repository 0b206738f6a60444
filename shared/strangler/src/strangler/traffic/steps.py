"""What a scenario consists of: accounts, things, and a step for each request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from strangler.traffic.known import IDENTITIES, Request, Shown, Text, leaves, singular
from strangler.traffic.leaving import Leaving


@dataclass(slots=True)
class Thing:
    """What a visit keeps of one collection. ``made``: by the visit itself, with the key by which its row is found.
    ``shown`` where only a page tells the id, and ``giver`` is the request after which it is known."""

    name: str
    path: str  # of the collection, up to the variable
    made: bool
    id_name: str
    refers: str = "id"  # what the answer calls the id by which bodies name it
    table: str = ""
    staff: bool = False
    shown: Shown | None = None
    giver: Request | None = None

    @property
    def attribute(self) -> str:
        """Where a visit keeps it."""
        return f"made_{self.name}" if self.made else self.name

    @property
    def one(self) -> str:
        """What one of them is called."""
        return singular(self.name)


@dataclass(slots=True)
class Step:
    """A request as a method of a visit. ``on`` is the thing that its path names, ``of`` those that its body names,
    ``gives`` what its answer adds."""

    name: str
    request: Request
    on: Thing | None = None
    gives: Thing | None = None
    of: Mapping[str, Thing] = field(default_factory=dict)
    leaves: Sequence[Leaving] = ()
    remarks: list[str] = field(default_factory=list)
    weight: int = 1
    keeps: bool = True

    @property
    def acts(self) -> bool:
        """Whether it may be possible only once for each thing."""
        return self.request.method == "DELETE" or (self.request.method == "POST" and not self.gives)

    @property
    def ends(self) -> bool:
        """Whether nothing else can be done to the thing afterwards."""
        return self.acts and not self.request.goes_on

    @property
    def checked(self) -> bool:
        """Whether it can be seen in the database."""
        return bool(self.leaves)

    @property
    def staff(self) -> bool:
        """Whether only staff may do it."""
        return self.request.access == "staff"


@dataclass(slots=True)
class Account:
    """How a visit comes to its rights. Without ``login`` the environment has the whole header, unless ``page`` is where
    a session begins."""

    register: Step | None = None
    login: Step | None = None
    token: Sequence[str | int] = ()
    identity: str = "email"
    page: str = ""
    needed: bool = False
    staff: bool = False
    row: Leaving | None = None

    @property
    def takes_token(self) -> bool:
        """Whether the environment has to have the whole header."""
        return self.needed and self.login is None and not self.page

    @property
    def identities(self) -> list[str]:
        """What the account is known by, as its registration and its login name it."""
        found = [self.identity]
        for step in (self.register, self.login):
            for place, leaf in leaves(step.request.body if step else None):
                name = str(place[-1]) if place else ""
                if isinstance(leaf, Text) and name in IDENTITIES and name not in found:
                    found.append(name)
        return found
