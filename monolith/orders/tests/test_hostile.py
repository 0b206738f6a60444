"""What strangers send is refused as the document says, and is never an error of the server.

Each day sends another part of it, the same part on every machine. ``HOSTILE_REQUESTS`` says how many; 0 means all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from chassis.identity import tokens
from chassis.rest.doorstep import guarded
from chassis.testing import hostile
from conftest import new_user
from django.core.wsgi import get_wsgi_application

from orders.models import Order

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_text())
COUNT = int(os.environ.get("HOSTILE_REQUESTS", "600"))


@pytest.mark.django_db(transaction=True)
def test_what_strangers_send_is_no_error_of_the_server(staff, product, service_key):
    application = guarded(get_wsgi_application())
    order = Order.objects.create(user=staff)
    ids = dict.fromkeys(DOCUMENT["paths"], product.pk)
    ids |= {path: order.pk for path in ids if "orders" in path} | {"/internal/users/{id}": staff.pk}

    def sign_in(ask: hostile.Ask) -> dict[str, str]:
        if ask.template.startswith("/internal"):
            return {"Authorization": f"Bearer {tokens.issue_service(ask.template.split('/')[2], 'orders')}"}
        user = new_user() if ask.method == "DELETE" else staff
        return {"Authorization": f"Bearer {tokens.issue(user).access}"}

    found, statuses = hostile.objections(DOCUMENT, application, sign_in=sign_in, count=COUNT, ids=ids)

    assert found == []
    assert statuses[400]
    assert statuses[200]
