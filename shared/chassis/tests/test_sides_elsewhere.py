"""A project whose tests run on another database than PostgreSQL: no move is there, and nothing is asked."""

from __future__ import annotations

from typing import Any

import pytest
from chassis.ownership import owners
from chassis.ownership.fence import FenceMiddleware
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory


@pytest.fixture
def sqlite(monkeypatch: Any) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")


def test_it_has_no_sides_and_asks_for_none(sqlite: None, db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert owners.sides() == {}
        assert owners.recent() == {}
        assert owners.is_open("books")


def test_requests_go_through_the_fence(sqlite: None, db: None, django_assert_num_queries: Any) -> None:
    fence = FenceMiddleware(lambda request: HttpResponse("through"))

    with django_assert_num_queries(0):
        assert fence(RequestFactory().post("/books/")).content == b"through"
