"""Nothing that is typed into the addresses and forms of the admin is an error of the server."""

from __future__ import annotations

import os
import random

import pytest
from chassis.testing import hostile
from conftest import PASSWORD
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

MANY = int(os.environ.get("HOSTILE_REQUESTS", "300"))
VALUES = ("%00", "%ED%A0%80", "9" * 20, "9" * 5_000, "-1", "x", "", "1,2", "2024-02-30", "%27", "1e999")
NAMES = (
    "q", "p", "o", "e", "_to_field", "_popup", "_changelist_filters", "all", "id", "pk__in", "id__exact", "id__gt",
    "id__isnull", "email__iexact", "email__regex", "is_staff__exact", "name__iexact", "status__exact", "total__gt",
    "created_at__lt", "slug", "nosuch", "nosuch__x",
)  # fmt: skip


@pytest.fixture
def admin(superuser) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(superuser)
    return client


def lists() -> list[str]:
    return [reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in site._registry]


@pytest.mark.django_db(transaction=True)
def test_addresses_of_the_admin(admin):
    paths = [f"{path}?{name}={value}" for path in lists() for name in NAMES for value in VALUES]
    paths += [f"{path}{value or '0'}/{page}/" for path in lists() for value in VALUES for page in ("change", "delete")]
    paths += [f"/admin/{value}" for value in VALUES] + [f"/admin/r/{value}/{value}/" for value in VALUES]

    failed = [
        path
        for path in random.Random(1).sample(paths, min(MANY or len(paths), len(paths)))
        if admin.get(path).status_code >= 500
    ]

    assert failed == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", [text for text in hostile.TEXTS[::2] if "\ud800" not in text and "\udfff" not in text])
def test_forms_of_the_admin(admin, superuser, text):
    user = {"email": text, "full_name": text, "phone": text, "language": text, "password1": text, "password2": text}
    inline = {f"addresses-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}
    number = {"price": text, "currency": text, "category": text, "name": text, "brand": text, "size": text}

    statuses = {
        "login": Client(raise_request_exception=False).post("/admin/login/", {"username": text, "password": text}),
        "add": admin.post("/admin/users/user/add/", user | inline),
        "change": admin.post(f"/admin/users/user/{superuser.pk}/change/", user | inline),
        "password": admin.post(f"/admin/users/user/{superuser.pk}/password/", user),
        "product": admin.post("/admin/products/product/add/", number),
        "counts": admin.post("/admin/users/user/add/", user | dict.fromkeys(inline, text)),
        "action": admin.post("/admin/orders/order/", {"action": text, "_selected_action": text}),
        "chosen": admin.post("/admin/orders/order/", {"action": "cancel", "_selected_action": text}),
        "completion": admin.get("/admin/autocomplete/", {"term": text, "app_label": text, "field_name": text}),
    }

    assert {name: answer.status_code for name, answer in statuses.items() if answer.status_code >= 500} == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cookie", ['"\\000aaaaaaaaaa"', "x" * 3_000, "é", '"\\377"'])
def test_cookies_of_the_admin(db, cookie):
    client = Client(raise_request_exception=False, headers={"cookie": f"sessionid={cookie}; csrftoken={cookie}"})

    assert client.get("/admin/").status_code < 500
    assert client.post("/admin/login/", {"username": "a", "password": PASSWORD}).status_code < 500
