"""Accounts, addresses and tokens over HTTP."""

from __future__ import annotations

import pytest
from conftest import PASSWORD, client_of, new_user
from rest_framework.throttling import ScopedRateThrottle

from users.models import Address, User

ADDRESS = {"line1": "1 Long Lane", "line2": "", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}


def registration(**fields):
    return {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada Example"} | fields


@pytest.mark.django_db
class TestRegistration:
    def test_it_answers_with_the_account_and_without_the_password(self, anonymous):
        answer = anonymous.post("/api/v1/users", registration())

        assert answer.status_code == 201
        user = User.objects.get(email="ada@example.com")
        assert answer.json() == {
            "id": user.pk,
            "email": "ada@example.com",
            "full_name": "Ada Example",
            "created_at": user.created_at.isoformat().replace("+00:00", "Z"),
        }

    @pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"])
    def test_a_taken_email_is_refused_in_any_case(self, anonymous, email):
        anonymous.post("/api/v1/users", registration())

        answer = anonymous.post("/api/v1/users", registration(email=email))

        assert answer.status_code == 400
        assert list(answer.json()) == ["email"]

    @pytest.mark.parametrize("field", ["email", "password", "full_name"])
    def test_a_missing_field_is_named(self, anonymous, field):
        body = registration()
        del body[field]

        answer = anonymous.post("/api/v1/users", body)

        assert answer.status_code == 400
        assert list(answer.json()) == [field]

    def test_nobody_makes_himself_staff(self, anonymous):
        anonymous.post("/api/v1/users", registration(is_staff=True, is_superuser=True))

        user = User.objects.get(email="ada@example.com")
        assert not user.is_staff
        assert not user.is_superuser

    def test_it_is_throttled(self, anonymous, monkeypatch):
        monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, "registration", "2/min")

        statuses = [anonymous.post("/api/v1/users", {}).status_code for _ in range(3)]

        assert statuses == [400, 400, 429]


class TestTokens:
    def log_in(self, client, **fields):
        return client.post("/api/v1/auth/token", fields)

    def test_email_and_password_give_tokens_that_open_the_account(self, anonymous, customer):
        tokens = self.log_in(anonymous, email=customer.email.upper(), password=PASSWORD).json()

        anonymous.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
        assert anonymous.get("/api/v1/users/me").json()["id"] == customer.pk

    def test_a_login_is_remembered(self, anonymous, customer):
        self.log_in(anonymous, email=customer.email, password=PASSWORD)

        customer.refresh_from_db()
        assert customer.last_login is not None

    @pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"email": "nobody@example.com"}])
    def test_wrong_credentials_are_401(self, anonymous, customer, wrong):
        answer = self.log_in(anonymous, **({"email": customer.email, "password": PASSWORD} | wrong))

        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_an_inactive_account_gets_none(self, anonymous, customer):
        User.objects.filter(pk=customer.pk).update(is_active=False)

        assert self.log_in(anonymous, email=customer.email, password=PASSWORD).status_code == 401

    def test_a_refresh_token_gives_a_new_pair_and_opens_nothing(self, anonymous, customer):
        tokens = self.log_in(anonymous, email=customer.email, password=PASSWORD).json()

        renewed = anonymous.post("/api/v1/auth/refresh", {"refresh": tokens["refresh"]})
        anonymous.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['refresh']}")

        assert renewed.status_code == 200
        assert set(renewed.json()) == {"access", "refresh"}
        assert anonymous.get("/api/v1/users/me").status_code == 401

    def test_the_keys_that_verify_tokens_are_public(self, anonymous, db):
        answer = anonymous.get("/.well-known/jwks.json")

        assert answer.json()["keys"][0]["alg"] == "EdDSA"
        assert "d" not in answer.json()["keys"][0]


class TestMe:
    def test_it_is_closed_to_strangers(self, anonymous, db):
        assert anonymous.get("/api/v1/users/me").status_code == 401

    def test_a_change_touches_what_was_sent_and_nothing_else(self, api, customer):
        answer = api.patch("/api/v1/users/me", {"full_name": "Grace Example", "id": 7, "is_staff": True})

        assert answer.status_code == 200
        assert answer.json()["full_name"] == "Grace Example"
        assert (answer.json()["id"], answer.json()["email"]) == (customer.pk, customer.email)
        assert not User.objects.get(pk=customer.pk).is_staff

    def test_somebody_elses_email_is_refused(self, api, db):
        other = new_user()

        assert api.patch("/api/v1/users/me", {"email": other.email.upper()}).status_code == 400

    def test_ones_own_email_may_be_sent_again(self, api, customer):
        assert api.patch("/api/v1/users/me", {"email": customer.email}).status_code == 200

    def test_a_deleted_account_takes_its_addresses_along_and_shuts_its_tokens(self, api, customer):
        api.post("/api/v1/users/me/addresses", ADDRESS)

        assert api.delete("/api/v1/users/me").status_code == 204
        assert not Address.objects.exists()
        assert api.get("/api/v1/users/me").status_code == 401


class TestAddresses:
    def test_an_address_comes_back_as_it_was_sent(self, api):
        created = api.post("/api/v1/users/me/addresses", ADDRESS)
        listed = api.get("/api/v1/users/me/addresses").json()

        assert created.status_code == 201
        assert {name: created.json()[name] for name in ADDRESS} == ADDRESS
        assert listed == {"next": None, "previous": None, "results": [created.json()]}

    @pytest.mark.parametrize("country", ["gb", "GBR", "G", ""])
    def test_a_country_is_two_capital_letters(self, api, country):
        answer = api.post("/api/v1/users/me/addresses", ADDRESS | {"country": country})

        assert answer.status_code == 400
        assert list(answer.json()) == ["country"]

    def test_they_are_the_callers_own(self, api, db):
        client_of(new_user()).post("/api/v1/users/me/addresses", ADDRESS)

        assert api.get("/api/v1/users/me/addresses").json()["results"] == []

    def test_pages_hold_each_address_once(self, api):
        for number in range(5):
            api.post("/api/v1/users/me/addresses", ADDRESS | {"line1": f"{number} Long Lane"})

        seen, url = [], "/api/v1/users/me/addresses?page_size=2"
        while url:
            page = api.get(url).json()
            seen += [address["line1"] for address in page["results"]]
            url = page["next"]

        assert seen == [f"{number} Long Lane" for number in (4, 3, 2, 1, 0)]
