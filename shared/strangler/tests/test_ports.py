"""Ports are free, remembered, and out of the way of outgoing connections."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strangler.domain.errors import StackError
from strangler.stack import ports

# Assigns one port to itself, prints it, and lives until its input ends.
ANOTHER = """
import sys
from pathlib import Path
from strangler.stack import ports
print(ports.assign(["a"], {}, Path(sys.argv[1]))["a"], flush=True)
sys.stdin.read()
"""


@contextmanager
def another_stack(memory: Path) -> Iterator[int]:
    """A process that was assigned a port and does not listen there yet."""
    command = [sys.executable, "-c", ANOTHER, str(memory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


def test_ports_are_the_same_the_next_time(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"

    first = ports.assign(["a", "b"], {}, memory)

    assert len(set(first.values())) == 2
    assert ports.assign(["b", "c"], {}, memory)["b"] == first["b"]
    assert ports.assign(["a", "b"], {}, memory) == first


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    first = ports.assign(["a"], {}, memory)["a"]

    with socket.create_server(("127.0.0.1", first)):
        assert ports.assign(["a"], {}, memory)["a"] != first


@pytest.mark.skipif(platform.system() != "Linux", reason="ports are claimed by abstract sockets, which only Linux has")
def test_a_port_on_which_another_stack_does_not_listen_yet_is_taken(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"

    with another_stack(memory) as port:
        assert ports.assign(["a"], {}, memory)["a"] != port
        with pytest.raises(StackError, match="is taken"):
            ports.assign(["a"], {"a": port}, memory)

    assert ports.assign(["a"], {"a": port}, memory) == {"a": port}


def test_ports_are_outside_the_ephemeral_range(tmp_path: Path) -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lowest < 20000:
        pytest.skip("the machine's ephemeral range leaves no room below it")

    assigned = ports.assign([f"p{number}" for number in range(50)], {}, tmp_path / "ports.json")

    assert max(assigned.values()) < lowest


def test_a_wanted_port_is_given_or_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match="is taken"):
            ports.assign(["a"], {"a": port}, tmp_path / "ports.json")

    assert ports.assign(["a"], {"a": port}, tmp_path / "ports.json") == {"a": port}
