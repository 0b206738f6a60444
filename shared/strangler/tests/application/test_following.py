"""The gateway agent, the routes it publishes, and the patrol."""

from __future__ import annotations

from dataclasses import replace

import pytest
from moves import NAME, PROJECT, Coordinator, at_rest, moving, parts_of, relay, run_switch
from strangler.application import agent as following
from strangler.application import routes
from strangler.application.agent import Agent, prepare
from strangler.application.watch import patrol
from strangler.domain.errors import MoveError, StackError
from strangler.domain.phase import State
from strangler.domain.project import MONOLITH, SERVICE
from strangler.domain.routing import ALL_TO_MONOLITH, ALL_TO_SERVICE, RouteTable, untouched
from strangler.ports.side import LostError
from strangler.testing import MemoryLedger, World


class MemoryGateway:
    """A gateway that has a published table live only after some looks."""

    def __init__(self, looks: int = 0) -> None:
        self.looks = looks
        self.published: list[RouteTable] = []
        self.asked: list[str] = []
        self.drains = True
        self.requests = 0
        self._left = 0

    def publish(self, table: RouteTable) -> None:
        self.published.append(table)
        self._left = self.looks

    def live_version(self) -> str | None:
        if self._left > 0:
            self._left -= 1
            return "before"
        return self.published[-1].version if self.published else None

    def admit(self) -> None:
        self.asked.append("admit")

    def drain(self) -> bool:
        self.asked.append("drain")
        return self.drains

    def busy(self) -> bool:
        self.requests -= 1
        return self.requests >= 0


def test_routes_follow_the_owner() -> None:
    world = moving()
    assert routes.table(PROJECT, list(world.moves.values())).capabilities[0].writes == ALL_TO_MONOLITH

    run_switch(parts_of(world), "switch")

    table = routes.table(PROJECT, list(world.moves.values()))
    assert (table.capabilities[0].reads, table.capabilities[0].writes) == (ALL_TO_SERVICE, ALL_TO_SERVICE)
    assert (table.version, table.default) == ("crates@2:service", "office")
    assert table.capabilities[0].clusters == {MONOLITH: "office", SERVICE: "depot"}
    assert routes.epochs(list(world.moves.values())) == {NAME: 2, f"{NAME}~": 0}


def test_without_a_move_everything_is_the_monolith_s() -> None:
    assert routes.table(PROJECT, []) == untouched(PROJECT)


def test_an_agent_publishes_and_then_says_so() -> None:
    world = moving()
    world.agents.clear()
    gateway = MemoryGateway(looks=3)
    agent = Agent("here", PROJECT, MemoryLedger(world), gateway)

    for _ in range(2):
        agent.follow()

    assert [table.version for table in gateway.published] == ["crates@1:monolith"]
    assert world.agents == {"here": {NAME: 1, f"{NAME}~": 0}}

    run_switch(parts_of(world), "switch")
    agent.follow()

    assert [table.version for table in gateway.published] == ["crates@1:monolith", "crates@2:service"]
    assert world.agents == {"here": {NAME: 2, f"{NAME}~": 0}}


def test_an_agent_does_not_say_what_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LIVE_SECONDS", 0.02)
    world = moving()
    world.agents.clear()

    Agent("here", PROJECT, MemoryLedger(world), MemoryGateway(looks=10**6)).follow()

    assert world.agents == {}


class AbsentGateway(MemoryGateway):
    """A gateway that takes tables, and answers no question."""

    def admit(self) -> None:
        raise StackError("away")


def test_a_gateway_that_is_away_finds_the_present_table_when_it_starts() -> None:
    world = moving()
    world.agents.clear()
    gateway = AbsentGateway()
    agent = Agent("here", PROJECT, MemoryLedger(world), gateway)

    for _ in range(2):
        with pytest.raises(StackError):
            agent.follow()

    assert [table.version for table in gateway.published] == ["crates@1:monolith"]
    assert (world.agents, agent.live) == ({}, None)


def test_what_has_been_replaced_by_somebody_else_is_published_again() -> None:
    gateway = MemoryGateway()
    agent = Agent("here", PROJECT, MemoryLedger(moving()), gateway)
    agent.follow()
    gateway.published.append(replace(gateway.published[0], version="older"))

    agent.follow()

    assert agent.live == gateway.published[-1].version == "crates@1:monolith"


def test_a_ledger_that_went_away_is_listened_to_anew() -> None:
    world = moving()
    ledger = MemoryLedger(world)
    agent = Agent("here", PROJECT, ledger, MemoryGateway())
    agent.follow()
    before, seen = len(world.agents), ledger.agent_seen
    ledger.agent_seen = lambda *_: (_ for _ in ()).throw(LostError("away"))  # type: ignore[method-assign]
    with pytest.raises(LostError):
        agent.follow()
    assert agent.live == "crates@1:monolith"
    ledger.agent_seen = seen  # type: ignore[method-assign]
    heard: list[str] = []
    ledger.listen = lambda: heard.append("listen")  # type: ignore[method-assign]

    agent.follow()

    assert (heard, len(world.agents)) == (["listen"], before)


def test_what_is_prepared_is_never_older_than_the_ledger() -> None:
    world = moving()

    class Interrupted(MemoryGateway):
        def publish(self, table: RouteTable) -> None:
            super().publish(table)
            if len(self.published) == 1:
                run_switch(parts_of(world), "switch")
                self.published.append(routes.table(PROJECT, list(world.moves.values())))
                self.published.append(table)  # a table that was read before the switch is written after it

    gateway = Interrupted()

    assert prepare(PROJECT, MemoryLedger(world), gateway) == "crates@2:service"

    assert gateway.published[-1].version == "crates@2:service"


def test_a_gateway_that_starts_in_the_middle_of_a_switch_has_the_owner_of_the_moment_and_then_the_next() -> None:
    world = moving()
    gateway = MemoryGateway()
    coordinator = Coordinator(world, lambda parts: run_switch(parts, "switch"))
    while "fence" not in coordinator.calls:
        coordinator.run(1)

    assert prepare(PROJECT, MemoryLedger(world), gateway) == "crates@1:monolith"
    agent = Agent("new", PROJECT, MemoryLedger(world), gateway)
    agent.follow()
    assert world.agents["new"] == {NAME: 1, f"{NAME}~": 0}

    while world.moves[NAME].state is not State.SETTLING:
        coordinator.run(1)
    agent.follow()
    coordinator.die()

    assert (world.agents["new"], agent.live) == ({NAME: 2, f"{NAME}~": 0}, "crates@2:service")


def test_an_agent_follows_until_nothing_is_under_way_and_then_leaves() -> None:
    world = moving()
    gateway = MemoryGateway()
    agent = Agent("here", PROJECT, MemoryLedger(world), gateway)
    agent.follow()
    gateway.requests = 2
    run_switch(parts_of(world), "switch")

    agent.drain()
    assert world.agents["here"] == {NAME: 2, f"{NAME}~": 0}
    agent.leave()

    assert gateway.asked == ["admit", "drain"]
    assert "here" not in world.agents


def test_where_nothing_can_be_drained_nobody_waits() -> None:
    gateway = MemoryGateway()
    gateway.drains, gateway.requests = False, 2

    Agent("here", PROJECT, MemoryLedger(moving()), gateway).drain()

    assert (gateway.requests, gateway.published) == (2, [])


def test_a_patrol_unwinds_what_has_no_coordinator_and_tells() -> None:
    world = moving()
    coordinator = Coordinator(world, lambda parts: run_switch(parts, "switch"))
    while "fence" not in coordinator.calls:
        coordinator.run(1)
    told: list[tuple[str, str]] = []
    patrol(parts_of(world), lambda *words: told.append(words))
    assert told == []

    coordinator.die()
    for _ in range(3):
        patrol(parts_of(world), lambda *words: told.append(words))

    assert told[0] == (NAME, "unwound an interrupted switch")
    relay(world)
    at_rest(world, rounds=0)


def test_a_patrol_finishes_what_has_passed_the_point_of_no_return() -> None:
    world = moving()
    coordinator = Coordinator(world, lambda parts: run_switch(parts, "switch"))
    while world.moves[NAME].state is not State.SETTLING:
        coordinator.run(1)
    coordinator.die()
    told: list[tuple[str, str]] = []

    patrol(parts_of(world), lambda *words: told.append(words))

    assert told == [(NAME, "finished an interrupted switch")]
    assert world.history[-1] == (NAME, "switch finished by recovery", 2)
    at_rest(world, rounds=1)


def test_a_patrol_fences_a_side_that_is_behind_and_then_lifts_the_owner() -> None:
    world = moving()
    row = world.databases[SERVICE].row
    assert row is not None
    world.databases[SERVICE].row = replace(row, open=True, epoch=0)
    world.databases[MONOLITH].row = replace(world.databases[MONOLITH].row, open=False)
    told: list[str] = []

    for _ in range(3):
        patrol(parts_of(world), lambda _, what: told.append(what))

    assert told == ["fenced the service, which was behind", "lifted the monolith"]
    at_rest(world, rounds=1)


def test_a_ledger_that_is_behind_fences_nobody() -> None:
    world = moving()
    row = world.databases[SERVICE].row
    assert row is not None
    ahead = replace(row, open=True, epoch=9)
    world.databases[SERVICE].row = ahead

    with pytest.raises(MoveError, match=r"open at epoch 9, which this ledger \(\d\) knows nothing of"):
        patrol(parts_of(world), lambda *_: None)

    assert world.databases[SERVICE].row == ahead


def test_a_patrol_that_fails_gives_its_lock_back() -> None:
    world = moving()
    coordinator = Coordinator(world, lambda parts: run_switch(parts, "switch"))
    while world.moves[NAME].state is not State.SETTLING:
        coordinator.run(1)
    coordinator.die()
    world.databases[SERVICE].streaming = False

    with pytest.raises(Exception, match="the stream has not drained yet"):
        patrol(parts_of(world), lambda *_: None)

    assert world.locks == {}
    world.databases[SERVICE].streaming = True
    at_rest(world)


def test_a_patrol_that_loses_a_server_is_tried_again() -> None:
    world = moving()
    parts = parts_of(world)
    patrol(parts, lambda *_: None)
    world.crash(SERVICE)

    with pytest.raises(LostError):
        patrol(parts, lambda *_: None)

    patrol(parts, lambda *_: None)
    at_rest(world)


def test_a_patrol_looks_at_a_move_that_was_never_started() -> None:
    told: list[str] = []

    patrol(parts_of(World()), lambda *words: told.extend(words))

    assert told == []


@pytest.mark.parametrize("state", [State.MOVING, State.COMPLETED])
def test_a_patrol_brings_addresses_to_what_the_configuration_says(state: State) -> None:
    world = moving(SERVICE)
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    parts = parts_of(world)
    parts.replication.elsewhere.append("the forward stream now comes from there")
    told: list[str] = []

    for _ in range(2):
        patrol(parts, lambda _, what: told.append(what))

    assert told.count("the forward stream now comes from there") == 1
    assert (NAME, "the forward stream now comes from there", 2) in world.history


@pytest.mark.parametrize("state", [State.STARTING, State.CANCELLING])
def test_a_patrol_leaves_addresses_alone_where_streams_come_and_go(state: State) -> None:
    world = moving()
    world.moves[NAME] = replace(world.moves[NAME], state=state)
    parts = parts_of(world)

    patrol(parts, lambda *_: None)

    assert "readdress" not in parts.replication.calls
