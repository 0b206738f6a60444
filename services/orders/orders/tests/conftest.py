"""What the tests of orders have at hand."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_rollback_of_the_test(monkeypatch):
    """REST framework rolls back the transaction that a refused request stands in: without one, it is the test's."""
    monkeypatch.setattr("rest_framework.views.set_rollback", lambda: None)
