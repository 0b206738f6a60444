"""Where the processes of a local stack are told to ask each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import project
from strangler.domain.errors import StackError
from strangler.domain.project import Gateway, Process
from strangler.stack import environments
from strangler.stack.state import State

PORTS = {"gateway": 8000, "gateway-internal": 8001}


def told(folder: Path, gateway: Gateway, ports: dict[str, int]) -> tuple[str, str]:
    """Both addresses that a process gets."""
    made = project(folder, gateway=gateway, brokered=False)
    present = State(supervisor=None)  # type: ignore[arg-type]  nobody asks for it here
    found = environments.programs(made, present, ports).environment(Process("office", directory=folder))
    return found["GATEWAY_URL"], found["INTERNAL_URL"]


def test_without_internal_paths_they_ask_where_clients_do(tmp_path: Path) -> None:
    assert told(tmp_path, Gateway(), PORTS) == ("http://127.0.0.1:8000", "http://127.0.0.1:8000")


def test_with_internal_paths_they_ask_at_the_internal_listener(tmp_path: Path) -> None:
    gateway = Gateway(internal=("/internal",))

    assert told(tmp_path, gateway, PORTS) == ("http://127.0.0.1:8000", "http://127.0.0.1:8001")


def test_where_the_gateway_runs_elsewhere_they_ask_where_the_file_says(tmp_path: Path) -> None:
    gateway = Gateway(internal=("/internal",), address="http://gate", internal_address="http://within")

    assert told(tmp_path, gateway, {}) == ("http://gate", "http://within")


def test_each_process_is_told_the_addresses_that_have_a_variable(tmp_path: Path) -> None:
    processes = {
        "desk": Process("desk", directory=tmp_path, command=["serve"], http=True, address_variable="DESK_URL"),
        "far": Process("far", address="http://far.internal:8000", address_variable="FAR_URL"),
        "silent": Process("silent", directory=tmp_path, command=["serve"], http=True),
        "new": Process("new", directory=tmp_path, command=["serve"], http=True, address_variable="NEW_URL"),
        "mine": Process("mine", directory=tmp_path, environment={"FAR_URL": "http://nearer"}),
    }
    made = project(tmp_path, processes=processes, brokered=False)
    present = State(supervisor=None)  # type: ignore[arg-type]  as above
    programs = environments.programs(made, present, {**PORTS, "desk": 8002, "silent": 8003})

    found = programs.environment(processes["silent"])

    assert (found["DESK_URL"], found["FAR_URL"]) == ("http://127.0.0.1:8002", "http://far.internal:8000")
    assert "NEW_URL" not in found  # it has come into the file since the stack was started
    assert programs.environment(processes["mine"])["FAR_URL"] == "http://nearer"


def test_a_stack_that_was_started_before_says_that_it_has_to_be_started_anew(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        told(tmp_path, Gateway(internal=("/internal",)), {"gateway": 8000})

    assert "strangler up" in caught.value.remedy
