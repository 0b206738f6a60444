"""A PostgreSQL that dies or stands still, in the pause and at rest."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.coordinator import stopped
from tests.faults.shop import FROM, MONOLITH, OTHER, SERVICE, TOWARDS, Shop
from tests.waiting import eventually

SERVERS = {MONOLITH: "postgres-monolith", SERVICE: "postgres-users"}


def test_a_new_owner_whose_database_stands_still_is_given_up(shop: Shop) -> None:
    shop.owned_by(MONOLITH)

    with shop.writers() as traffic, stopped(shop, "switch", "after:fence owner") as coordinator:
        with frozen(shop.stack.pids()[SERVERS[SERVICE]]):
            code = coordinator.go_on()
            traffic.get_through()
        move = shop.at_rest()

    assert code == 1, coordinator.output
    assert move.owner == MONOLITH
    assert traffic.failures == []
    traffic.check(shop.session(MONOLITH))


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("after:fence owner", signal.SIGINT),  # "fast": sessions are ended, and all is flushed
        ("after:fence owner", signal.SIGKILL),
        ("after:prepare owner", signal.SIGKILL),
        ("after:begin opening", signal.SIGKILL),
    ],
)
def test_a_new_owner_whose_database_dies_is_given_up(shop: Shop, at: str, number: signal.Signals) -> None:
    shop.owned_by(MONOLITH)

    with shop.writers() as traffic, stopped(shop, "switch", at) as coordinator:
        end_server(shop, SERVICE, number)
        code = coordinator.go_on()
        traffic.get_through()
        move = shop.at_rest()

    assert code == 1, coordinator.output
    assert move.owner == MONOLITH
    assert traffic.failures == []
    traffic.check(shop.session(MONOLITH))


def test_a_new_owner_whose_database_dies_after_it_has_been_named_comes_back_as_owner(shop: Shop) -> None:
    shop.owned_by(MONOLITH)

    with shop.writers() as traffic, stopped(shop, "switch", "after:take ownership") as coordinator:
        end_server(shop, SERVICE, signal.SIGKILL)
        code = coordinator.go_on()
        move = shop.at_rest()
        traffic.get_through()

    assert code == 1, coordinator.output
    assert move.owner == SERVICE
    assert_only_outages(traffic.failures)
    traffic.check(shop.session(SERVICE))


@pytest.mark.parametrize("at", ["after:fence owner", "after:begin opening", "after:take ownership"])
def test_a_reversal_survives_the_death_of_the_database_with_the_ledger(shop: Shop, at: str) -> None:
    shop.owned_by(SERVICE)

    with shop.writers() as traffic, stopped(shop, "reverse", at) as coordinator:
        end_server(shop, MONOLITH, signal.SIGKILL)
        coordinator.go_on()
        move = shop.at_rest()
        traffic.get_through()

    assert move.owner == (MONOLITH if at == "after:take ownership" else SERVICE)
    assert_only_outages(traffic.failures)
    traffic.check(shop.session(move.owner))


@pytest.mark.parametrize("side", [SERVICE, MONOLITH])
def test_a_database_that_dies_at_rest_leaves_nothing_behind(shop: Shop, side: str) -> None:
    owner = shop.at_rest().owner
    verb = next(verb for verb, frm in FROM.items() if frm == owner)

    with shop.writers() as traffic:
        end_server(shop, side, signal.SIGKILL)
        traffic.get_through()
        # Errors of the streams since the last proof keep a switch from beginning.
        eventually(lambda: shop.stack.spawn("verify", "users").wait() == 0, "the copy is proved anew")
        eventually(lambda: shop.stack.spawn(verb, "users", "--yes").wait() == 0, f"{verb} is done")
        move = shop.at_rest()

    assert move.owner == TOWARDS[verb] == OTHER[owner]
    assert_only_outages(traffic.failures)
    traffic.check(shop.session(move.owner))


def assert_only_outages(failures: list[str]) -> None:
    """A database that is away may cost answers; a wrong one, such as 401, is never given."""
    wrong = [failure for failure in failures if ": 5" not in failure]
    assert not wrong, wrong


def end_server(shop: Shop, side: str, number: int) -> None:
    """Ends the side's server, and waits until the next one answers; without a command, for a pause lasts meanwhile."""
    before = shop.stack.pids()[SERVERS[side]]
    os.kill(before, number)

    def answers() -> bool:
        return shop.stack.pids().get(SERVERS[side]) not in {None, before} and shop.is_open(side) is not None

    eventually(answers, f"{SERVERS[side]} is back")


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """A server that answers nothing, with connections that stay."""
    stopped_ones = [postmaster, *_children(postmaster)]
    for pid in stopped_ones:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped_ones:
            os.kill(pid, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found
