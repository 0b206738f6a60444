from __future__ import annotations

import pytest
from chassis.errors import Conflict, Unprocessable
from chassis.pagination import CursorPagination
from django.contrib.auth.models import Group
from rest_framework.generics import ListAPIView
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory
from rest_framework.views import exception_handler


class GroupSerializer(ModelSerializer):
    class Meta:
        model = Group
        fields = ("id", "name")


class Groups(ListAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    permission_classes = ()
    pagination_class = CursorPagination


def pages(url: str):
    while url:
        data = Groups.as_view()(APIRequestFactory().get(url)).data
        yield [row["name"] for row in data["results"]]
        url = data["next"]


@pytest.mark.django_db
def test_pages_run_from_the_newest_to_the_oldest_without_gap():
    Group.objects.bulk_create(Group(name=name) for name in "abcde")

    assert list(pages("/?page_size=2")) == [["e", "d"], ["c", "b"], ["a"]]


@pytest.mark.django_db
def test_a_page_is_never_longer_than_200():
    Group.objects.bulk_create(Group(name=str(number)) for number in range(250))

    assert [len(page) for page in pages("/?page_size=1000")] == [200, 50]


@pytest.mark.parametrize(("error", "status"), [(Conflict, 409), (Unprocessable, 422)])
def test_an_error_has_the_framework_s_shape(error, status):
    answer = exception_handler(error("The shelf is full."), {})

    assert answer.status_code == status
    assert answer.data == {"detail": "The shelf is full."}
