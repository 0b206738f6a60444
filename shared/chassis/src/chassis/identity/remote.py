"""What ``request.user`` is where the accounts are another side's: what that side has told of one, and no row.

Nothing here asks a database, and nothing needs the app ``django.contrib.auth``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS

from chassis import settings
from chassis.references import loose


class Told:
    """What permissions, decorators, mixins and templates ask of a user, by what was told."""

    pk: Any
    username: str
    is_active: bool
    is_superuser: bool
    _permissions: frozenset[str]

    def get_username(self) -> str:
        return self.username

    def get_all_permissions(self, obj: object = None) -> set[str]:
        """As ``app.codename``. Empty for a superuser, who has all of them, and for an object."""
        return set() if obj is not None else set(self._permissions)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """For a single object nobody but a superuser has a permission, as with Django's ModelBackend."""
        return self._may_all or (self.is_active and obj is None and perm in self._permissions)

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        if isinstance(perm_list, str):
            raise TypeError("perm_list is one text, and not a list of permissions")
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        named = any(perm.partition(".")[0] == app_label for perm in self._permissions)
        return self._may_all or (self.is_active and named)

    @property
    def _may_all(self) -> bool:
        return self.is_active and self.is_superuser

    # Django's decorators ask asynchronously for asynchronous views. Nothing waits here.
    async def aget_all_permissions(self, obj: object = None) -> set[str]:
        return self.get_all_permissions(obj)

    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return self.has_perms(perm_list, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        return self.has_module_perms(app_label)

    def __str__(self) -> str:
        return self.get_username()


class RemoteUser(Told):
    """A user as the side that has the accounts told of it a moment ago.

    It has what Django's permissions, decorators, mixins and templates ask of a user, and the attributes that
    ``CHASSIS_IDENTITY_ATTRIBUTES`` names there. Anything else, such as ``save`` or a relation, raises an AttributeError
    that says where the row is. Each request has an object of its own.
    """

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    def __init__(self, told: Mapping[str, Any]) -> None:
        vars(self).update(_attributes(told))
        # A relation looks which database its row is of.
        self._state = SimpleNamespace(db=DEFAULT_DB_ALIAS, adding=False)
        self.pk = self.id = pk_of(told["id"])
        self.username = str(told["username"])
        self.is_active = told["is_active"] is True
        self.is_staff = told["is_staff"] is True
        self.is_superuser = told["is_superuser"] is True
        self.groups = Groups(told["groups"])
        self._permissions = frozenset(told["permissions"])

    def _is_pk_set(self, meta: object = None) -> bool:
        """Django asks this of a row before it saves another that points at it."""
        return True

    def get_full_name(self) -> str:
        """As Django's, if the other side tells ``first_name`` and ``last_name``; otherwise an AttributeError."""
        return f"{self.first_name} {self.last_name}".strip()

    def get_short_name(self) -> str:
        return str(self.first_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"a user of another side has no {name!r} here: its row, with all that is related to it, is at the side "
            "that has the accounts; ask that side, or let it tell a field by CHASSIS_IDENTITY_ATTRIBUTES"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteUser) and self.pk == other.pk

    def __hash__(self) -> int:
        return hash(self.pk)


def user_of(told: Mapping[str, Any]) -> Any:
    """Who it is: a RemoteUser. Where a package's relations point at the model of accounts (``CHASSIS_LOOSE``), it is an
    object of that model with the same methods, which can be compared with them and assigned; what was not told of it
    raises ElsewhereError."""
    if not apps.is_installed("django.contrib.auth") or not settings.loose():
        return RemoteUser(told)
    from django.contrib.auth import get_user_model

    model: Any = get_user_model()
    if not loose.points_at(model):
        return RemoteUser(told)
    remote = RemoteUser(told)
    known = _attributes(told)
    known[model.USERNAME_FIELD] = remote.username
    known |= {name: getattr(remote, name) for name in ("is_active", "is_staff", "is_superuser")}
    known[model._meta.pk.name] = remote.pk
    fields = {one.attname: one.name for one in model._meta.concrete_fields}
    rows = {name for name, value in known.items() if isinstance(value, RemoteRow)}
    values = {attname: known.pop(name) for attname, name in fields.items() if name in known.keys() - rows}
    account: Any = _account(model, frozenset(known)).from_db(None, list(values), list(values.values()))
    vars(account).update(known, groups=remote.groups, _permissions=remote._permissions)
    return account


@cache
def _account(model: Any, told: frozenset[str]) -> Any:
    """``told`` are attributes that are no fields of it: the model's own properties of these names give way."""
    named = property(lambda self: self.get_username())
    more = {} if model.USERNAME_FIELD == "username" else {"username": named}
    hidden = dict.fromkeys(told)
    own: dict[str, Any] = {"get_username": model.get_username, "groups": None}
    return loose.subclass(model, Told, loose.Elsewhere, **more, **hidden, **own)


def _attributes(told: Mapping[str, Any]) -> dict[str, Any]:
    """What was told besides, by name; of a relation a RemoteRow."""
    found: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, value in told.get("attributes", {}).items():
        relation, dot, field = name.partition(".")
        if dot:
            rows.setdefault(relation, {})[field] = value
        else:
            found[name] = value
    return found | {relation: RemoteRow(relation, fields) for relation, fields in rows.items()}


class RemoteRow:
    """The one row of a user that is told of by ``relation.field``, such as a profile: with these fields, and no more.

    Anything else raises an AttributeError that says what to do.
    """

    def __init__(self, relation: str, fields: Mapping[str, Any]) -> None:
        vars(self).update(fields, _relation=relation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        relation = vars(self).get("_relation", "")
        raise AttributeError(
            f"a user of another side has no {relation}.{name} here: let the side that has the accounts tell it by "
            f"CHASSIS_IDENTITY_ATTRIBUTES, as '{relation}.{name}'"
        )


class Group:
    """A group by its name: each side numbers its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class Groups:
    """What programs ask of ``user.groups``: ``all``, ``filter`` and ``exclude`` by ``name`` or ``name__in``,
    ``exists``, ``count``, ``first``, ``values_list("name", flat=True)``. Raises TypeError and AttributeError for
    more than that."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    def all(self) -> Groups:
        return self

    def filter(self, **wanted: Any) -> Groups:
        names = _wanted(wanted)
        return Groups(name for name in self._names if name in names)

    def exclude(self, **unwanted: Any) -> Groups:
        names = _wanted(unwanted)
        return Groups(name for name in self._names if name not in names)

    def exists(self) -> bool:
        return bool(self._names)

    def count(self) -> int:
        return len(self._names)

    def first(self) -> Group | None:
        return next(iter(self), None)

    def values_list(self, *fields: str, flat: bool = False) -> Sequence[Any]:
        if fields != ("name",):
            raise TypeError("groups of a user of another side have a name, and nothing else")
        return [name if flat else (name,) for name in self._names]

    def __iter__(self) -> Iterator[Group]:
        return map(Group, self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"groups of a user of another side have no {name!r}: only their names are known here")


class Nobody:
    """Who has not logged in, where the app ``django.contrib.auth`` is not installed."""

    pk: ClassVar[None] = None
    id: ClassVar[None] = None
    username: ClassVar[str] = ""
    is_staff: ClassVar[bool] = False
    is_active: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False
    is_authenticated: ClassVar[bool] = False
    is_anonymous: ClassVar[bool] = True
    groups: ClassVar[Groups] = Groups(())

    def get_username(self) -> str:
        return ""

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return False

    def has_perms(self, perm_list: Collection[str], obj: object = None) -> bool:
        return not perm_list

    def has_module_perms(self, app_label: str) -> bool:
        return False

    async def ahas_perms(self, perm_list: Collection[str], obj: object = None) -> bool:
        return self.has_perms(perm_list, obj)

    def __str__(self) -> str:
        return "AnonymousUser"


def nobody() -> Any:
    """Django's AnonymousUser, or what stands for it where the app is not installed."""
    if not apps.is_installed("django.contrib.auth"):
        return Nobody()
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


def spelled(pk: object) -> int | str | dict[str, str]:
    """A primary key as JSON can take it, and so that `pk_of` makes the same of it.

    Raises TypeError for what is neither a number, a text nor a UUID.
    """
    if isinstance(pk, UUID):
        return {"uuid": str(pk)}
    if isinstance(pk, bool) or not isinstance(pk, (int, str)):
        raise TypeError(f"the primary key of a user is a {type(pk).__name__}, and not a number, a text or a UUID")
    return pk


def pk_of(told: int | str | Mapping[str, str]) -> int | str | UUID:
    """The primary key of what `spelled` has made."""
    return UUID(told["uuid"]) if isinstance(told, Mapping) else told


def _wanted(conditions: Mapping[str, Any]) -> Collection[str]:
    match conditions:
        case {"name": name, **rest} if not rest:
            return {name}
        case {"name__in": names, **rest} if not rest:
            return set(names)
    named = ", ".join(conditions)
    raise TypeError(f"groups of a user of another side are found by name or name__in, and not by {named}")
