"""Relations of packages to rows of another side; extracted services show what becomes of them on a server."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.identity import remote
from chassis.identity.standing import AccountBase
from chassis.references import loose
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Model
from django.test.utils import isolate_apps

TOLD = {"id": 5, "username": "ann", "is_active": True, "is_staff": False, "is_superuser": False,
        "groups": ["readers"], "permissions": ["club.see"], "attributes": {"email": "ann@example.com"}}  # fmt: skip


@pytest.mark.parametrize("name", ["club.Nothing.owner", "owner", "auth.User.username", "auth.User.nothing"])
def test_a_name_that_is_no_relation_is_told(settings: Any, name: str) -> None:
    settings.CHASSIS_LOOSE = ["auth.Permission.content_type", name]

    found = loose.loose(None)

    assert [message.id for message in found] == ["chassis.E030"]
    assert name in found[0].msg


def test_who_it_is_has_no_row_where_no_relation_of_a_package_points_at_accounts(settings: Any) -> None:
    settings.CHASSIS_LOOSE = ["auth.Permission.content_type"]

    assert isinstance(remote.user_of(TOLD), remote.RemoteUser)


def test_who_it_is_equals_what_a_package_knows_by_the_key(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.CHASSIS_LOOSE = ["admin.LogEntry.user"]
    monkeypatch.setattr(loose, "points_at", lambda model: True)
    model: Any = get_user_model()

    user = remote.user_of(TOLD)

    assert isinstance(user, model)
    assert user == model(pk=5)
    assert (user.pk, user.get_username(), str(user), user.email) == (5, "ann", "ann", "ann@example.com")
    assert (user.is_authenticated, user.is_anonymous, user.is_active) == (True, False, True)
    assert user.has_perm("club.see")
    assert not user.has_perm("club.hide")
    assert [str(group) for group in user.groups.all()] == ["readers"]
    for ask in (lambda: user.last_login, user.save, user.delete):
        with pytest.raises(loose.ElsewhereError, match="at the side that owns it"):
            ask()


def test_who_it_is_has_the_rows_that_are_told_and_stands_for_an_account(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.CHASSIS_LOOSE = ["admin.LogEntry.user"]
    monkeypatch.setattr(loose, "points_at", lambda model: True)
    told = {**TOLD, "attributes": {"first_name": "Ann", "last_name": "Li", "logentry.action": "add"}}

    with isolate_apps("chassis"):

        class Account(models.Model, metaclass=AccountBase):  # noqa: DJ008
            id = models.BigAutoField(primary_key=True)

            class Meta:
                app_label, managed = "chassis", False

        class Loan(models.Model):  # noqa: DJ008
            owner = models.ForeignKey(Account, models.DO_NOTHING, db_constraint=False)

            class Meta:
                app_label, managed = "chassis", False

        user = remote.user_of(told)
        loan, later = Loan(owner=user), Loan()
        later.owner = user
        loan._prepare_related_fields_for_save("save")

    assert (loan.owner_id, later.owner_id, str(loan.owner)) == (5, 5, "ann")
    assert (user.get_full_name(), user.logentry.action) == ("Ann Li", "add")
    with pytest.raises(AttributeError, match=r"CHASSIS_IDENTITY_ATTRIBUTES, as 'logentry.object_id'"):
        _ = user.logentry.object_id
    with pytest.raises(ValueError, match="must be a"):
        later.owner = get_user_model()(pk=5)


def test_a_class_for_what_has_no_row_is_no_model_that_django_hears_of() -> None:
    model: Any = get_user_model()
    before = [*model._meta.apps.get_models()]

    made = loose.subclass(model, loose.Elsewhere)

    assert issubclass(made, Model)
    assert made._meta is model._meta
    assert [*model._meta.apps.get_models()] == before
