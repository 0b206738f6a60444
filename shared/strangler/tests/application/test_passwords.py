"""Accounts change hands only between applications that can read each other's hashes, and write the same ones."""

from __future__ import annotations

import pytest
from moves import NAME, READY, moving, parts_of
from strangler.application import gates
from strangler.domain.errors import RefusedError
from strangler.domain.passwords import Passwords
from strangler.domain.project import MONOLITH, SERVICE

ARGON2 = Passwords("argon2 time_cost=2", frozenset({"argon2", "pbkdf2_sha256"}))
PBKDF2 = Passwords("pbkdf2_sha256 iterations=1000000", frozenset({"argon2", "pbkdf2_sha256"}))
FEWER = Passwords("pbkdf2_sha256 iterations=20000", frozenset({"pbkdf2_sha256"}))


def measured(monolith: Passwords | None, service: Passwords | None, owner: str = MONOLITH) -> gates.Gate | None:
    world = moving(owner)
    parts = parts_of(world)
    told = {MONOLITH: monolith, SERVICE: service}
    parts.replication.hashing = {side: each for side, each in told.items() if each is not None}
    found = gates.measure(parts, world.moves[NAME], READY)
    return next((gate for gate in found if gate.name == "passwords"), None)


@pytest.mark.parametrize("both", [ARGON2, PBKDF2, FEWER])
def test_two_that_hash_alike_are_let_through(both: Passwords) -> None:
    gate = measured(both, both)

    assert gate is not None
    assert (gate.open, gate.found) == (True, both.writes)


@pytest.mark.parametrize("owner", [MONOLITH, SERVICE])
@pytest.mark.parametrize(("monolith", "service"), [(ARGON2, FEWER), (FEWER, ARGON2)])
def test_a_side_that_cannot_read_the_other_s_hashes_is_named_in_both_directions(
    monolith: Passwords, service: Passwords, owner: str
) -> None:
    gate = measured(monolith, service, owner)

    deaf = SERVICE if monolith is ARGON2 else MONOLITH
    assert gate is not None
    assert not gate.open
    assert gate.found.startswith(f"the {deaf} cannot read argon2")
    assert "PASSWORD_HASHER" in gate.remedy


@pytest.mark.parametrize(("monolith", "service"), [(ARGON2, PBKDF2), (PBKDF2, FEWER)])
def test_two_that_would_hash_each_password_anew_are_named(monolith: Passwords, service: Passwords) -> None:
    gate = measured(monolith, service)

    assert gate is not None
    assert not gate.open
    assert monolith.writes in gate.found
    assert service.writes in gate.found


@pytest.mark.parametrize("silent", [MONOLITH, SERVICE])
def test_where_one_does_not_tell_there_is_no_gate(silent: str) -> None:
    assert measured(*(None if side == silent else ARGON2 for side in (MONOLITH, SERVICE))) is None


def test_no_switch_begins_while_it_is_shut() -> None:
    world = moving()
    parts = parts_of(world)
    parts.replication.hashing = {MONOLITH: ARGON2, SERVICE: FEWER}

    with pytest.raises(RefusedError, match="gate passwords: the service cannot read argon2"):
        gates.pass_all(parts, world.moves[NAME], READY, deadline=float("inf"))
