"""What the settings of identities must be."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from chassis.identity import checks
from django.test import override_settings

NOT_TOLD = ["emial", "groups", "_state", "has_perm", "user_permissions", "pk", 7, "get_full_name"]
NOT_TOLD += ["auth_token.kee", "auth_token.user", "groups.name", "profil.city"]
SECRET = "a-secret-of-more-than-thirty-two-characters"
FENCE = "chassis.ownership.fence.FenceMiddleware"


def found(**changed: Any) -> list[str | None]:
    with override_settings(**changed):
        return [message.id for message in checks.identity(None)]


class TestChecks:
    HOUSE: ClassVar[dict[str, Any]] = {"CHASSIS_IDENTITY_SECRETS": [SECRET], "MIDDLEWARE": [FENCE]}
    STAGE: ClassVar[dict[str, Any]] = {
        "CHASSIS_IDENTITY_SECRETS": [SECRET],
        "CHASSIS_IDENTITY_URL": "http://127.0.0.1:1",
        "MIDDLEWARE": [checks.IDENTITY, FENCE],
    }

    def test_sound_settings_pass_and_so_do_none(self) -> None:
        assert (found(), found(**self.HOUSE), found(**self.STAGE)) == ([], [], [])

    @pytest.mark.parametrize("secrets", [[], SECRET, ["short"], [SECRET, "short"], [SECRET, 7]])
    def test_a_secret_that_can_be_guessed_is_refused(self, secrets: Any) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_SECRETS": secrets}) == ["chassis.E020"]

    @pytest.mark.parametrize("url", ["", "monolith:8000", "http://me:word@monolith", "http://monolith/?a=1"])
    def test_an_address_that_is_none_is_refused(self, url: str) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_URL": url}) == ["chassis.E021"]

    @pytest.mark.parametrize("value", [-1, "soon", float("inf"), float("nan"), None])
    @pytest.mark.parametrize("name", ["CHASSIS_IDENTITY_SECONDS", "CHASSIS_IDENTITY_TIMEOUT"])
    def test_a_time_that_is_none_is_refused(self, name: str, value: Any) -> None:
        assert found(**{**self.STAGE, name: value}) == ["chassis.E022"]

    def test_no_seconds_are_a_number_of_seconds(self) -> None:
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_SECONDS": 0}) == []
        assert found(**{**self.STAGE, "CHASSIS_IDENTITY_TIMEOUT": 0}) == ["chassis.E022"]

    @pytest.mark.parametrize("middleware", [[FENCE, checks.IDENTITY], [checks.IDENTITY, FENCE, checks.AUTHENTICATION]])
    def test_the_order_of_middleware_counts(self, middleware: list[str]) -> None:
        assert found(**{**self.STAGE, "MIDDLEWARE": middleware}) == ["chassis.E023"]

    def test_a_house_that_answers_nobody_is_named(self) -> None:
        assert found(**{**self.HOUSE, "MIDDLEWARE": []}) == ["chassis.E023"]

    @pytest.mark.parametrize("name", NOT_TOLD)
    def test_what_cannot_be_told_of_a_user_is_named(self, name: Any) -> None:
        assert found(**self.HOUSE, CHASSIS_IDENTITY_ATTRIBUTES=["email", name]) == ["chassis.E024"]

    def test_a_class_for_tokens_that_is_not_there_is_named(self) -> None:
        assert found(**self.HOUSE, CHASSIS_IDENTITY_TOKENS="nowhere.Tokens") == ["chassis.E024"]

    def test_what_django_would_write_into_the_session_is_named(self, settings: Any) -> None:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.messages"]
        assert found(**self.STAGE, CSRF_USE_SESSIONS=True) == ["chassis.W025", "chassis.W025"]
        assert found(**self.STAGE, MESSAGE_STORAGE=checks.COOKIES) == []
        shared = {**self.STAGE, "MIDDLEWARE": [*self.STAGE["MIDDLEWARE"], checks.SESSIONS]}
        assert found(**shared, CSRF_USE_SESSIONS=True) == []
