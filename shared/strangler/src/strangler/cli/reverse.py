"""``strangler reverse``: the monolith becomes the owner again."""

from __future__ import annotations

from strangler.cli import ownership

command = ownership.make("reverse", "Makes the monolith the owner of CAPABILITY again.")
