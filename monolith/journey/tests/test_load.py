"""The loader, with the first households of the data set."""

from __future__ import annotations

import io

import pytest
from chassis.servers import health
from conftest import client_of
from django.conf import settings
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F, Sum
from orders.models import Line, Order, StatusChange
from orders.tests.test_checkout import place
from products.models import Category, Product
from users.models import User

HOUSEHOLDS = 3

pytestmark = pytest.mark.django_db


def load(**options):
    out = io.StringIO()
    call_command("load_journey", sample=HOUSEHOLDS, stdout=out, **options)
    return out.getvalue()


def foreign_keys_and_indexes():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace "
            "UNION SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
        )
        return cursor.fetchall()


def test_households_shop_as_the_data_say():
    load()

    assert User.objects.filter(is_staff=False).count() == HOUSEHOLDS
    assert Order.objects.exclude(user__email__startswith="household-").count() == 0
    totals = Order.objects.annotate(lines_total=Sum(F("lines__quantity") * F("lines__unit_price")))
    assert not totals.exclude(lines_total=F("total")).exists()
    assert StatusChange.objects.count() == 3 * Order.objects.count()
    assert Line.objects.filter(quantity__lt=1).count() == 0
    assert Product.objects.filter(category=None).count() == 0
    assert Category.objects.filter(parent=None).exists()


def test_everybody_can_log_in():
    load()

    assert authenticate(email="household-1@example.com", password=settings.JOURNEY_PASSWORD)
    assert authenticate(email=settings.JOURNEY_STAFF_EMAIL, password=settings.JOURNEY_PASSWORD).is_staff


def test_ids_go_on_where_the_data_end():
    load()
    customer = User.objects.get(email="household-1@example.com")
    newest = Order.objects.latest("pk").pk

    answer = place(client_of(customer), (Product.objects.first().pk, 1))

    assert answer.status_code == 201
    assert answer.json()["id"] > newest


def test_keys_and_indexes_are_as_before():
    before = foreign_keys_and_indexes()

    load()

    assert foreign_keys_and_indexes() == before


def test_a_shop_that_holds_something_is_left_alone(product):
    with pytest.raises(CommandError, match=r"products_product.*--flush"):
        load()

    assert Product.objects.count() == 1


def test_if_empty_loads_once():
    load(if_empty=True)
    Product.objects.filter(pk=Product.objects.first().pk).update(name="renamed since")

    said = load(if_empty=True)

    assert "nothing to load" in said
    assert "users_user" in said
    assert Product.objects.filter(name="renamed since").count() == 1


def test_if_empty_knows_a_shop_whose_tables_have_moved_for_good():
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE products_stockmovement")

    assert "products_stockmovement has been dropped" in load(if_empty=True)
    assert User.objects.count() == 0


def test_if_empty_says_nothing_of_a_shop_before_its_migrations(monkeypatch):
    monkeypatch.setattr(health, "_migrated", set())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'orders'")

    with pytest.raises(CommandError, match="migrations are not applied"):
        load(if_empty=True)


def test_flush_says_what_it_deletes_and_begins_anew(product):
    connection.check_constraints()  # a table with deferred checks to come cannot be emptied

    said = load(flush=True, no_input=True)

    assert "Deletes all rows of" in said
    assert not Product.objects.filter(pk=product.pk, name=product.name).exists()
    assert User.objects.count() == HOUSEHOLDS + 1


def test_a_flush_that_nobody_can_confirm_deletes_nothing(product):
    with pytest.raises(CommandError, match="--no-input"):
        load(flush=True)

    assert Product.objects.count() == 1


def test_progress_is_plain_lines_where_there_is_no_terminal():
    said = load()

    assert "\r" not in said
    assert "orders_line" in said
