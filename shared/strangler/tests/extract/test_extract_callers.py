"""A query by the caller's row asks for the caller's key in the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import Small
from strangler.extract.draft import Kind

FILES = {
    "accounts/models.py": """
        from django.contrib.auth.models import AbstractUser

        class User(AbstractUser):
            pass
    """,
    "loans/models.py": """
        from django.conf import settings
        from django.db import models

        class Loan(models.Model):
            reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
            lender = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
            title = models.CharField(max_length=50)
    """,
    "loans/views.py": """
        from django.http import HttpResponse
        from django.shortcuts import get_object_or_404
        from django.views import View

        from loans.models import Loan

        class Mine(View):
            def get(self, request):
                # Mine alone.
                found = Loan.objects.filter(reader=self.request.user).exclude(
                    title="",  # not named yet
                    reader = request.user,
                )
                return HttpResponse(found.count())

            def post(self, request):
                Loan(reader=request.user, title="x").save()
                return HttpResponse(Loan.objects.create(reader=request.user, title="y").pk)

        def lent(request, pk):
            other = dict(reader=request.user)
            get_object_or_404(Loan, pk=pk, lender=request.user)
            get_object_or_404(Loan, pk=pk, reader=other["reader"])
            return HttpResponse()
    """,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    urls = """
        from django.urls import path
        from loans import views
        urlpatterns = [path("mine", views.Mine.as_view()), path("lent/<int:pk>", views.lent)]
    """
    folder = tmp_path_factory.mktemp("lending")
    return Small.written(
        folder, {**FILES, "site_of/urls.py": urls}, "accounts", "loans", more='AUTH_USER_MODEL = "accounts.User"'
    )


@pytest.mark.parametrize("relations", ["keys", "numbers"])
def test_the_caller_s_key_is_given_and_the_layout_stays(small: Small, relations, tmp_path: Path) -> None:
    cut = small.drafted("loans_loan", "GET /mine", "GET /lent/{id}", relations=relations)
    views = cut.text("loans/views.py")

    before = FILES["loans/views.py"]
    assert "filter(reader_id=self.request.user.pk).exclude(" in views
    assert 'title="",  # not named yet\n            reader_id = request.user.pk,\n' in views
    assert 'Loan(reader_id=request.user.pk, title="x")' in views
    assert 'create(reader_id=request.user.pk, title="y")' in views
    assert len(views.splitlines()) == len(before.strip().splitlines())
    cut.migration(tmp_path, more="")


def test_what_may_be_nobody_s_and_what_is_no_query_stays_as_it_is(small: Small) -> None:
    cut = small.drafted("loans_loan", "GET /mine", "GET /lent/{id}")
    views = cut.text("loans/views.py")

    assert "other = dict(reader=request.user)" in views
    assert "get_object_or_404(Loan, pk=pk, lender=request.user)" in views
    left = [one.says for one in cut.said(Kind.QUERY) if one.open]
    assert any(says.startswith("get_object_or_404(lender=…)") for says in left)
    assert any(says.startswith("get_object_or_404(reader=…)") for says in left)
    assert len([one for one in cut.said(Kind.QUERY, "the caller's row") if not one.open]) == 4
