"""What other services learn of users: over HTTP, and by the event of a deletion."""

from __future__ import annotations

import pytest
from chassis.identity import tokens
from chassis.messages.events import Message
from chassis.models import OutboxMessage
from conftest import new_user, with_token
from django.db import connection, transaction
from rest_framework.test import APIClient

from users import services
from users.models import User


@pytest.fixture
def orders(service_key) -> APIClient:
    """A client in which the orders service is logged in."""
    return with_token(tokens.issue_service("users", "orders"))


def test_a_service_reads_a_user_with_the_default_address(orders, customer):
    first = services.add_address(user=customer, line1="1 Long Lane", city="Bath", postal_code="BA1 1AA", country="GB")
    services.add_address(user=customer, line1="2 Short Street", city="York", postal_code="YO1 7HH", country="GB")

    answer = orders.get(f"/internal/users/{customer.pk}")

    assert answer.status_code == 200
    assert answer.json() == {
        "id": customer.pk,
        "email": customer.email,
        "full_name": customer.full_name,
        "is_active": True,
        "address": str(first),
    }


def test_a_user_without_an_address_has_an_empty_one(orders, customer):
    assert orders.get(f"/internal/users/{customer.pk}").json()["address"] == ""


def test_an_inactive_user_is_told_as_such(orders, customer):
    services.update_profile(user=customer, is_active=False)

    assert orders.get(f"/internal/users/{customer.pk}").json()["is_active"] is False


@pytest.mark.parametrize("pk", ["0", "9223372036854775807", "9223372036854775808", "99999999999999999999999"])
def test_a_user_who_is_not_there_is_not_found(orders, db, pk):
    assert orders.get(f"/internal/users/{pk}").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_there_to_read(orders, customer, method):
    assert getattr(orders, method)(f"/internal/users/{customer.pk}", {}).status_code == 405


def test_nobody_else_gets_in(anonymous, api, customer, service_key):
    path = f"/internal/users/{customer.pk}"

    assert anonymous.get(path).status_code == 401
    assert api.get(path).status_code == 401
    assert with_token(tokens.issue_service("products", "orders")).get(path).status_code == 401


def test_a_service_s_token_opens_nobody_s_account(orders, db):
    assert orders.get("/api/v1/users/me").status_code == 401


class TestDeletion:
    """Services that point at a user learn when the user is gone."""

    def told(self) -> list[tuple[str, str, int, dict]]:
        messages = [(row, Message.decode(bytes(row.body))) for row in OutboxMessage.objects.order_by("pk")]
        return [(row.type, row.key, message.version, dict(message.data)) for row, message in messages]

    def deletion_of(self, user_id: int) -> tuple[str, str, int, dict]:
        return ("users.user.deleted", str(user_id), 1, {"user_id": user_id})

    def test_a_user_who_leaves_is_told_of(self, api, customer):
        user_id = customer.pk

        api.delete("/api/v1/users/me")

        assert self.told() == [self.deletion_of(user_id)]

    def test_so_is_one_whom_the_admin_deletes(self, client, superuser, customer):
        user_id = customer.pk
        client.force_login(superuser)

        client.post(f"/admin/users/user/{user_id}/delete/", {"post": "yes"})

        assert self.told() == [self.deletion_of(user_id)]

    def test_so_are_all_whom_the_admin_deletes_together(self, client, superuser):
        ids = [new_user().pk, new_user().pk]
        client.force_login(superuser)

        client.post("/admin/users/user/", {"action": "delete_selected", "_selected_action": ids, "post": "yes"})

        assert sorted(self.told()) == sorted(self.deletion_of(user_id) for user_id in ids)

    def test_one_who_is_gone_already_is_no_news(self, customer):
        again = User.objects.get(pk=customer.pk)
        services.delete(user=customer)

        services.delete(user=again)

        assert len(self.told()) == 1

    def test_where_the_deletion_is_undone_nothing_is_told(self, customer):
        with transaction.atomic():
            services.delete(user=customer)
            transaction.set_rollback(True)

        assert self.told() == []
        assert User.objects.exists()


def test_a_version_of_the_code_that_knows_no_versions_can_still_register_users(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users_user (password, is_superuser, email, full_name, phone, language, newsletter, is_active,"
            " is_staff, created_at, updated_at) VALUES ('', false, 'old@example.com', 'Old', '', 'en', false, true,"
            " false, now(), now())"
        )

    assert User.objects.get(email="old@example.com").version == 0
