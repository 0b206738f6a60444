"""What the services write."""

from __future__ import annotations

import pytest
from conftest import PASSWORD
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection

from users import services
from users.models import Address, User

pytestmark = pytest.mark.django_db


def test_a_registered_user_is_no_staff_and_has_a_hashed_password():
    user = services.register(email="Ada@Example.ORG", password=PASSWORD, full_name="Ada")

    user.refresh_from_db()
    assert user.email == "Ada@example.org"
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert not user.is_superuser
    assert user.last_login is None


def test_an_email_that_differs_in_case_only_is_taken(customer):
    with pytest.raises(services.EmailTakenError):
        services.register(email=customer.email.upper(), password=PASSWORD, full_name="Another")


def test_a_refused_registration_leaves_the_caller_s_transaction_usable(customer):
    with pytest.raises(services.EmailTakenError):
        services.register(email=customer.email, password=PASSWORD, full_name="Another")

    assert User.objects.count() == 1


def test_a_change_of_email_to_one_s_own_in_other_case_is_allowed(customer):
    services.update_profile(user=customer, email=customer.email.upper())

    customer.refresh_from_db()
    assert customer.email.startswith("USER-")


def test_a_change_of_email_to_another_s_is_refused_and_changes_nothing(customer):
    other = services.register(email="grace@example.org", password=PASSWORD, full_name="Grace")

    with pytest.raises(services.EmailTakenError):
        services.update_profile(user=other, email=customer.email.upper(), full_name="Ada Two")

    other.refresh_from_db()
    assert (other.email, other.full_name) == ("grace@example.org", "Grace")


def test_a_change_writes_only_what_it_is_given(customer):
    stale = User.objects.get(pk=customer.pk)
    services.update_profile(user=customer, full_name="Ada Lovelace")

    services.update_profile(user=stale, phone="+44 20 7946 0000")

    customer.refresh_from_db()
    assert (customer.full_name, customer.phone) == ("Ada Lovelace", "+44 20 7946 0000")


def test_a_login_is_recorded_and_touches_nothing_else(customer):
    before = User.objects.values().get(pk=customer.pk)

    services.record_login(user=customer)

    after = User.objects.values().get(pk=customer.pk)
    assert {name for name in after if after[name] != before[name]} == {"last_login"}


def test_a_deleted_user_takes_addresses_and_links_along(customer):
    customer.groups.add(Group.objects.create(name="readers"))
    services.add_address(user=customer, line1="1 Long Lane", city="Bath", postal_code="BA1 1AA", country="GB")

    services.delete(user=customer)

    assert not User.objects.exists()
    assert not Address.objects.exists()


def test_createsuperuser_goes_through_the_services(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", "--noinput", "--email", "root@example.org", "--full_name", "Root", verbosity=0)

    root = User.objects.get()
    assert root.is_staff
    assert root.is_superuser
    assert root.check_password(PASSWORD)


def test_a_lookup_by_email_uses_the_index(customer):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = User.objects.filter(email__iexact=customer.email).explain()

    assert "users_user_email_any_case" in plan
