"""Tries of the admin's login: how they are counted, and that nobody drives a count out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from chassis.database import counts
from chassis.identity.logins import LoginForm
from chassis.rest.errors import Busy
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.test import RequestFactory


@pytest.fixture(autouse=True)
def no_counts(settings: Any) -> None:
    settings.CHASSIS_COUNTS = "process"
    counts.memory.clear()


def enter(account: str, address: str = "10.0.0.1") -> str:
    """The code of what is said to a login."""
    form = LoginForm(RequestFactory().post("/admin/login/", headers={"x-forwarded-for": address}))
    form.cleaned_data = {"username": account, "password": "x"}
    try:
        form.clean()
    except ValidationError as refused:
        return str(refused.code)
    return "in"


def wrong(form: Any) -> dict[str, Any]:
    raise ValidationError("wrong", code="invalid_login")


def test_a_flood_of_other_names_gives_nobody_his_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdminAuthenticationForm, "clean", wrong)
    assert [enter("ada") for _ in range(10)] == ["invalid_login"] * 10

    for number in range(400):
        enter(f"nobody-{number}", f"10.0.{number}.1")

    assert enter("ada", "10.1.0.1") == "throttled"


def test_a_try_counts_from_before_its_password_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def meanwhile(form: Any) -> dict[str, Any]:
        looked.append("ada")
        if len(looked) < 20:
            enter("ada", f"10.0.0.{len(looked)}")
        return wrong(form)

    monkeypatch.setattr(AdminAuthenticationForm, "clean", meanwhile)

    assert enter("ada") == "invalid_login"
    assert len(looked) == 10


def test_a_try_that_nobody_looked_at_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(form: Any) -> dict[str, Any]:
        raise Busy

    monkeypatch.setattr(AdminAuthenticationForm, "clean", busy)
    for _ in range(20):
        with pytest.raises(Busy):
            enter("ada")
    monkeypatch.setattr(AdminAuthenticationForm, "clean", wrong)

    assert enter("ada") == "invalid_login"


def test_addresses_of_one_network_are_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdminAuthenticationForm, "clean", wrong)

    said = [enter(f"nobody-{number}", f"2001:db8::{number:x}") for number in range(31)]

    assert said == ["invalid_login"] * 30 + ["throttled"]
    assert enter("ada", "2001:db8:0:1::1") == "invalid_login"


@pytest.mark.parametrize("empty", ["", " "])
def test_a_try_without_a_password_gives_nobody_his_tries_again(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    def clean(form: Any) -> dict[str, Any]:
        return wrong(form) if form.cleaned_data["password"] == "x" else form.cleaned_data

    monkeypatch.setattr(AdminAuthenticationForm, "clean", clean)
    said = []
    for number in range(12):
        said.append(enter("ada", f"10.2.{number}.1"))
        form = LoginForm(RequestFactory().post("/admin/login/", headers={"x-forwarded-for": f"10.3.{number}.1"}))
        form.cleaned_data = {"username": "ada", "password": empty}
        with suppress(ValidationError):
            form.clean()

    assert said[-1] == "throttled"
