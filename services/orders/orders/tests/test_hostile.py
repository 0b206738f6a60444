"""What strangers send is refused as the document says, and is never an error of the server.

Each day sends another part of it, the same part on every machine. ``HOSTILE_REQUESTS`` says how many; 0 means all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from chassis.testing import hostile
from config.wsgi import application

from orders import api
from orders.models import Order

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_text())
COUNT = int(os.environ.get("HOSTILE_REQUESTS", "600"))


@pytest.mark.django_db(transaction=True)
def test_what_strangers_send_is_no_error_of_the_server(neighbours, customer, pump, monkeypatch):
    monkeypatch.setattr(api, "WAIT", 0)  # nobody decides meanwhile
    mine = Order.objects.create(user_id=customer.pk)
    token = f"Bearer {neighbours.token(customer)}"
    ids = dict.fromkeys(DOCUMENT["paths"], mine.pk)

    def sign_in(ask: hostile.Ask) -> dict[str, str]:
        return {"Authorization": token}

    found, statuses = hostile.objections(DOCUMENT, application, sign_in=sign_in, count=COUNT, ids=ids)

    assert found == []
    assert statuses[400]
    assert statuses[200]
