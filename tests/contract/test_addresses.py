from __future__ import annotations

import pytest

CAPABILITY = "users"
HOME = {
    "line1": "12 St James's Square",
    "line2": "",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
PATH = "/api/v1/users/me/addresses"


def test_an_address_is_answered_as_it_was_sent(api, account):
    answer = api.post(PATH, json=HOME, headers=account.headers)

    assert answer.status_code == 201
    address = answer.json()
    assert isinstance(address.pop("id"), int)
    assert address == HOME


def test_the_second_line_may_be_left_out(api, account):
    body = {name: value for name, value in HOME.items() if name != "line2"}

    answer = api.post(PATH, json=body, headers=account.headers)

    assert answer.status_code == 201
    assert answer.json()["line2"] == ""


def test_the_list_holds_the_user_s_addresses_and_nobody_else_s(api, register):
    mine, theirs = register(), register()
    added = [api.post(PATH, json=HOME, headers=mine.headers).json() for _ in range(2)]
    api.post(PATH, json=HOME, headers=theirs.headers)

    page = api.get(PATH, headers=mine.headers).json()

    assert set(page) == {"next", "previous", "results"}
    assert page["next"] is None
    assert sorted(page["results"], key=lambda address: address["id"]) == added


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"country": "Britain"}, "country"),
        ({"country": "G"}, "country"),
        ({"country": "12"}, "country"),
        ({"line1": ""}, "line1"),
        ({"city": None}, "city"),
        ({"postal_code": "x" * 200}, "postal_code"),
    ],
)
def test_a_field_that_cannot_be_is_named(api, account, changes, field):
    answer = api.post(PATH, json=HOME | changes, headers=account.headers)

    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_addresses_go_with_their_user(api, account):
    api.post(PATH, json=HOME, headers=account.headers)

    assert api.delete("/api/v1/users/me", headers=account.headers).status_code == 204
    assert api.get(PATH, headers=account.headers).status_code == 401
