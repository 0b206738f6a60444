"""Ports in memory, for tests of the code that uses ports: they pass the same tests as the adapters."""

from strangler.testing.ledger import MemoryLedger
from strangler.testing.replication import MemoryReplication
from strangler.testing.side import MemorySide
from strangler.testing.world import Client, Crashed, World

__all__ = ["Client", "Crashed", "MemoryLedger", "MemoryReplication", "MemorySide", "World"]
