"""Password hashing with the work factor in the settings."""

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
