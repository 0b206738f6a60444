"""A capability and the tables that refer to it do not get different owners if a deletion would have to reach both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from moves import CRATES, NAME, PROJECT, READY, moving, parts_of
from strangler.application import gates
from strangler.domain.errors import RefusedError
from strangler.domain.project import MONOLITH, SERVICE, Capability, Reference
from strangler.testing import World

Parts = Any


def beside(world: World, crates: Capability, other: Capability, *, owner: str | None) -> Parts:
    """The parts of crates in a project with another capability, which ``owner`` has, or which nobody has begun to
    move."""
    if owner is not None:
        world.moves[other.name] = replace(world.moves[NAME], capability=other.name, owner=owner)
    project = replace(PROJECT, capabilities={NAME: crates, other.name: other})
    return replace(parts_of(world), project=project, capability=crates)


def bays(**changes: bool) -> Capability:
    """The capability to which crates refer."""
    return replace(CRATES, name="bays", tables=["bay"], references=[Reference("crate", "bay_id", **changes)])


def labels() -> Capability:
    """The capability that refers to crates."""
    return replace(CRATES, name="labels", tables=["label"])


LABELLED = replace(CRATES, references=[Reference("label", "crate_id"), Reference("admin_log", "crate_id")])


def refusal(parts: Parts, world: World) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        gates.pass_all(parts, world.moves[NAME], READY, deadline=float("inf"))
    return caught.value


@pytest.mark.parametrize("owner", [None, MONOLITH])
def test_what_refers_to_the_monolith_s_rows_does_not_leave_before_them(owner: str | None) -> None:
    world = moving()

    error = refusal(beside(world, CRATES, bays(), owner=owner), world)

    assert error.message == "gate deletions: crate.bay_id would be the service's, and bays the monolith's"
    assert error.remedy.startswith("move bays first, or set deletes = false")


def test_what_is_referred_to_does_not_come_back_before_those_who_refer_to_it() -> None:
    world = moving(SERVICE)

    error = refusal(beside(world, LABELLED, labels(), owner=SERVICE), world)

    assert error.message == "gate deletions: label.crate_id would be the service's, and crates the monolith's"
    assert error.remedy.startswith("reverse labels first")


@pytest.mark.parametrize(
    ("crates", "other", "begins", "owner"),
    [
        (CRATES, bays(), MONOLITH, SERVICE),
        (CRATES, bays(), SERVICE, SERVICE),
        (CRATES, bays(), SERVICE, None),
        (CRATES, bays(deletes=False), MONOLITH, None),
        (LABELLED, labels(), MONOLITH, None),
        (LABELLED, labels(), MONOLITH, SERVICE),
        (LABELLED, labels(), SERVICE, None),
        (LABELLED, labels(), SERVICE, MONOLITH),
    ],
)
def test_every_other_order_is_open(crates: Capability, other: Capability, begins: str, owner: str | None) -> None:
    world = moving(begins)
    parts = beside(world, crates, other, owner=owner)

    measured = {gate.name: gate for gate in gates.measure(parts, world.moves[NAME], READY)}

    assert measured["deletions"].open
