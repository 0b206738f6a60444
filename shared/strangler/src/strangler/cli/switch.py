"""``strangler switch``: the service becomes the owner."""

from __future__ import annotations

from strangler.cli import ownership

command = ownership.make("switch", "Makes the service the owner of CAPABILITY; `reverse` turns it back.")
