"""What the tests of orders use."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_rollback_of_the_test(monkeypatch):
    """REST framework rolls back the transaction around a refused request. Where the request has none, that is the
    test's."""
    monkeypatch.setattr("rest_framework.views.set_rollback", lambda: None)
