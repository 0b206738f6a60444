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


def deaf(parts: Parts, *capabilities: str) -> Parts:
    """The same, with an application in the service of these, or of crates, that cannot be sent deletions."""
    parts.replication.deafness = {name: ["the service cannot: it is old"] for name in capabilities or [NAME]}
    return parts


def measured(parts: Parts, world: World) -> gates.Gate:
    return next(gate for gate in gates.measure(parts, world.moves[NAME], READY) if gate.name == "deletions")


def refusal(parts: Parts, world: World) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        gates.pass_all(parts, world.moves[NAME], READY, deadline=float("inf"))
    return caught.value


@pytest.mark.parametrize("owner", [None, MONOLITH])
def test_what_refers_to_the_monolith_s_rows_does_not_leave_before_them(owner: str | None) -> None:
    world = moving()

    error = refusal(deaf(beside(world, CRATES, bays(), owner=owner)), world)

    told = "gate deletions: crate.bay_id would be the service's, and bays the monolith's; the service cannot: it is old"
    assert error.message == told
    assert "run the present chassis on both sides" in error.remedy
    assert "or move bays first, or set deletes = false" in error.remedy


@pytest.mark.parametrize("owner", [None, MONOLITH])
def test_it_leaves_where_deletions_can_be_sent_after_it(owner: str | None) -> None:
    world = moving()

    gate = measured(beside(world, CRATES, bays(), owner=owner), world)

    assert (gate.open, gate.found) == (True, "those of bays are sent to the service")


def test_what_refers_to_rows_that_stay_leaves_only_where_deletions_can_be_sent_after_it() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.cascading = [("crate.person_id", "auth_user")]

    assert measured(parts, world).found == "those of auth_user are sent to the service"
    gate = measured(deaf(parts), world)

    assert not gate.open
    assert gate.found == (
        "crate.person_id would be the service's, and auth_user the monolith's; the service cannot: it is old"
    )
    assert "move auth_user first" not in gate.remedy


def test_it_comes_back_in_any_case() -> None:
    world = moving(SERVICE)
    parts = deaf(parts_of(world))
    parts.replication.cascading = [("crate.person_id", "auth_user")]

    assert measured(parts, world).open


def test_what_is_referred_to_does_not_come_back_before_those_who_refer_to_it() -> None:
    world = moving(SERVICE)

    error = refusal(deaf(beside(world, LABELLED, labels(), owner=SERVICE), "labels"), world)

    assert error.message == (
        "gate deletions: label.crate_id would be the service's, and crates the monolith's; "
        "the service cannot: it is old"
    )
    assert "or reverse labels first, or set deletes = false" in error.remedy


def test_it_comes_back_before_them_where_deletions_can_be_sent_after_them() -> None:
    """Whether its own service could be sent deletions does not matter: that will own nothing."""
    world = moving(SERVICE)

    gate = measured(deaf(beside(world, LABELLED, labels(), owner=SERVICE), NAME), world)

    assert (gate.open, gate.found) == (True, "those of crates are sent to the service")


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

    assert measured(deaf(parts, NAME, other.name), world).open
