from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode

import pytest
from chassis.rest.errors import Conflict, Unprocessable
from chassis.rest.pagination import CursorPagination
from django.contrib.auth.models import Group, User
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
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


class Stored(CursorPagination):
    offset_cutoff = None

    def __init__(self, ordering: str) -> None:
        self.ordering = (ordering,)


def cursor(**content: object) -> str:
    return urlencode({"cursor": b64encode(urlencode(content).encode()).decode()})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ordering", "content"),
    [
        ("-id", {"p": "x"}),
        ("-id", {"p": ""}),
        ("-id", {"p": "1.5"}),
        ("id", {"p": "99999999999999999999"}),
        ("id", {"p": "9" * 5_000, "r": 1}),
        ("id", {"o": "99999999999999999999"}),
        ("id", {"p": "1", "o": "9" * 5_000}),
        ("id", {"o": "-1"}),
        ("id", {"o": "x"}),
        ("username", {"p": "a\x00b"}),
        ("username", {"p": "x" * 151}),
        ("-date_joined", {"p": "yesterday"}),
        ("-date_joined", {"p": "2024-02-30"}),
        ("-date_joined", {"p": "0001-01-01T00:00:00+23:59"}),
        ("is_staff", {"p": "maybe"}),
    ],
)
def test_a_cursor_that_no_row_can_have_is_not_found(ordering, content):
    request = Request(APIRequestFactory().get(f"/?{cursor(**content)}"))

    with pytest.raises(NotFound):
        Stored(ordering).paginate_queryset(User.objects.all(), request)


@pytest.mark.django_db
@pytest.mark.parametrize("raw", ["nonsense", "%ED%A0%80", "é", "cD0%3D%3D%3Dx", "/w=="])
def test_a_cursor_that_cannot_be_read_is_not_found(raw):
    request = Request(APIRequestFactory().get(f"/?cursor={raw}"))

    with pytest.raises(NotFound):
        Stored("id").paginate_queryset(User.objects.all(), request)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ordering", "content"),
    [("-date_joined", {"p": "2024-02-29T12:00:00+01:00"}), ("username", {"p": "é"}), ("id", {"o": 2**31 - 1})],
)
def test_a_cursor_that_a_row_could_have_is_followed(ordering, content):
    request = Request(APIRequestFactory().get(f"/?{cursor(**content)}"))

    assert Stored(ordering).paginate_queryset(User.objects.all(), request) == []
