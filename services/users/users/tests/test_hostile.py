"""What strangers send is refused as the document says, and is never an error of the server.

Each day sends another part of it, the same part on every machine. ``HOSTILE_REQUESTS`` says how many; 0 means all.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from chassis.identity import tokens
from chassis.testing import hostile
from config.wsgi import application
from conftest import new_user

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_text())
COUNT = int(os.environ.get("HOSTILE_REQUESTS", "600"))


@pytest.mark.django_db(transaction=True)
def test_what_strangers_send_is_no_error_of_the_server(service_key):
    lasting = new_user()
    services = f"Bearer {tokens.issue_service('users', 'orders')}"
    ids = {"/internal/users/{id}": lasting.pk}

    def sign_in(ask: hostile.Ask) -> dict[str, str]:
        if ask.template.startswith("/internal"):
            return {"Authorization": services}
        user = new_user() if ask.method == "DELETE" else lasting
        return {"Authorization": f"Bearer {tokens.issue(user).access}"}

    found, statuses = hostile.objections(DOCUMENT, application, sign_in=sign_in, count=COUNT, ids=ids)

    assert found == []
    assert statuses[400]
    assert statuses[200]
