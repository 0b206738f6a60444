"""A user of whom another side has told."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from chassis.identity import remote
from chassis.identity.remote import Groups, Nobody, RemoteUser


def described(**told: Any) -> RemoteUser:
    said = {
        "id": 1,
        "username": "ada",
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
        "permissions": [],
        "groups": [],
    }
    return RemoteUser({**said, **told})


class TestRemoteUser:
    def test_permissions_are_those_that_were_told(self) -> None:
        user = described(permissions=["shelf.add_book", "shelf.view_book"])

        assert user.has_perms(["shelf.add_book", "shelf.view_book"])
        assert not user.has_perms(["shelf.add_book", "shelf.delete_book"])
        assert (user.has_module_perms("shelf"), user.has_module_perms("she")) == (True, False)
        assert not user.has_perm("shelf.add_book", object())
        with pytest.raises(TypeError):
            user.has_perms("shelf.add_book")

    def test_a_superuser_has_them_all(self) -> None:
        user = described(is_superuser=True)

        assert user.has_perm("shelf.add_book", object())
        assert user.has_module_perms("anything")

    def test_who_is_inactive_may_nothing(self) -> None:
        """A backend of Django's lets such users in."""
        user = described(is_active=False, is_superuser=True, permissions=["shelf.add_book"])

        assert not user.is_active
        assert not user.has_perm("shelf.add_book")
        assert not user.has_module_perms("shelf")

    @pytest.mark.parametrize("truthy", ["true", 1, "false", [1]])
    def test_nobody_becomes_staff_by_what_is_not_true(self, truthy: object) -> None:
        user = described(is_staff=truthy, is_superuser=truthy, is_active=truthy)

        assert not user.is_staff
        assert not user.is_active
        assert not user.has_perm("shelf.add_book")

    @pytest.mark.parametrize("pk", [7, "7", uuid.uuid4()])
    def test_a_primary_key_is_of_the_kind_that_it_was(self, pk: Any) -> None:
        found = described(id=json.loads(json.dumps(remote.spelled(pk)))).pk

        assert (found, type(found)) == (pk, type(pk))

    def test_another_kind_of_primary_key_is_refused(self) -> None:
        with pytest.raises(TypeError, match="primary key of a user is a float"):
            remote.spelled(1.5)

    def test_two_are_the_same_by_their_key(self) -> None:
        assert {described(), described(username="changed")} == {described()}
        assert described() != described(id="1")

    def test_groups_are_asked_by_name(self) -> None:
        groups = described(groups=["cast", "crew"]).groups

        assert groups.filter(name="cast").exists()
        assert not groups.filter(name__in=["guests"]).exists()
        assert [str(group) for group in groups.exclude(name="cast").all()] == ["crew"]
        assert (groups.count(), groups.all().first().name) == (2, "cast")
        assert groups.values_list("name") == [("cast",), ("crew",)]
        for wrong in (lambda: groups.filter(pk=1), lambda: groups.values_list("id"), lambda: groups.add(1)):
            with pytest.raises((TypeError, AttributeError), match="of another side"):
                wrong()

    def test_who_is_nobody_may_nothing(self) -> None:
        nobody = Nobody()

        assert (nobody.is_authenticated, nobody.is_anonymous, nobody.has_perm("a.b")) == (False, True, False)
        assert isinstance(nobody.groups, Groups)
        assert not nobody.groups.exists()
