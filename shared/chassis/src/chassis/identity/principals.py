"""What ``request.user`` is where the process has no table of accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with an account at another service, as an access token describes them.

    Only what the token says is known: an account that was deleted or deactivated since is let in until the token ends,
    which is a matter of minutes. ``is_staff`` is what it was when the token was issued.
    """

    pk: int
    is_staff: bool = False
    is_active: ClassVar[bool] = True
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def id(self) -> int:
        return self.pk

    def __str__(self) -> str:
        return str(self.pk)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """Another service, acting for itself and in nobody's name."""

    name: str
    pk: ClassVar[None] = None
    is_staff: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"service:{self.name}"
