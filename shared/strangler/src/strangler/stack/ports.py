"""Ports of the local stack, the same from one ``up`` to the next.

Note "stable ports": subscriptions hold the address of the other database, and survive ``down``.
Note "outside the ephemeral range": a port from it could be taken by any outgoing connection while the
process that listens there is being started again.
Note "claims": between the choice of a port and the moment when a process listens there, another stack could
choose the same port. Therefore a process claims each port that it assigns by an abstract socket with the port in
its name. No other process can bind that socket, and the kernel removes it with the process.
"""

from __future__ import annotations

import json
import platform
import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from strangler.domain.errors import StackError
from strangler.stack.state import write_private

LOOPBACK = "127.0.0.1"

_LOWEST, _HIGHEST = 15000, 32000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")

_HAS_ABSTRACT_SOCKETS = platform.system() == "Linux"  # elsewhere two stacks that start at once may collide
_claims: dict[int, socket.socket] = {}


def assign(names: Iterable[str], wanted: Mapping[str, int], memory: Path) -> dict[str, int]:
    """A free port for each name: the wanted one, or else that of the last time, or else any. No other process gets
    one of them as long as this process lives; see the note "claims".

    Raises ``StackError`` when a wanted port is taken.
    """
    before: dict[str, int] = json.loads(memory.read_text()) if memory.exists() else {}
    assigned: dict[str, int] = {}
    for name in names:
        port = wanted.get(name) or before.get(name)
        if wanted.get(name) and not _claim(wanted[name]):
            raise StackError(
                f"port {wanted[name]} is taken",
                place=name,
                remedy="free the port, or write 0 for any free one",
            )
        if port is None or port in assigned.values() or not _claim(port):
            port = _any_free({*assigned.values(), *before.values()})
        assigned[name] = port
    write_private(memory, json.dumps(before | assigned, indent=1))
    return assigned


def _any_free(taken: set[int]) -> int:
    lowest_ephemeral = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _HIGHEST
    highest = min(_HIGHEST, lowest_ephemeral) if lowest_ephemeral > _LOWEST + 1000 else _HIGHEST
    candidates = [port for port in range(_LOWEST, highest) if port not in taken and port not in _claims]
    for port in random.sample(candidates, 200):
        if _claim(port):
            return port
    raise StackError(f"no free port between {_LOWEST} and {highest}", remedy="stop what listens on so many ports")


def _claim(port: int) -> bool:
    """Whether the port is free and, from now on, ours."""
    if not _is_free(port):
        return False
    if port not in _claims and _HAS_ABSTRACT_SOCKETS:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0strangler-port-{port}")
        except OSError:
            claim.close()
            return False
        _claims[port] = claim
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As every server does: otherwise a port whose old connections linger would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
