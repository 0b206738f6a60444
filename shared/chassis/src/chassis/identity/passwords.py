"""Password hashing with the work factor in the settings, in places of its own."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import hashers

from chassis.identity import hashing


class PBKDF2PasswordHasher(hashers.PBKDF2PasswordHasher):
    """Django's own hashes, with ``PASSWORD_ITERATIONS`` rounds or a million.

    Both sides of a move need the same number: Django hashes a password again at login when the number differs, and a
    login would then write on the side that it reached, whichever that is. So the default is fixed here: Django raises
    its own with each release, and the sides may run different releases.

    Each hash takes a place of `chassis.identity.hashing`, and raises chassis.rest.errors.Busy where too many wait for a
    place.
    """

    def __init__(self) -> None:
        self.iterations = getattr(settings, "PASSWORD_ITERATIONS", None) or 1_000_000

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with hashing.process.place():
            encoded: str = super().encode(password, salt, iterations)
        return encoded


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Django's own hashes with Argon2id; each takes 100 MiB while it is computed. What it costs is fixed here, for the
    reason for which the rounds above are. It takes places in the same way.
    """

    time_cost = 2
    memory_cost = 102_400  # KiB
    parallelism = 8

    def encode(self, password: str, salt: str) -> str:
        with hashing.process.place():
            encoded: str = super().encode(password, salt)
        return encoded

    def verify(self, password: str, encoded: str) -> bool:
        with hashing.process.place():
            return bool(super().verify(password, encoded))
