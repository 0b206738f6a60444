"""What strangers reach at the gateway, whoever owns what is behind it."""

from __future__ import annotations

import pytest

from tests.contract.sides import GATEWAY, Shop

INTERNAL = ["/internal/users/1", "/internal/products?ids=1"]
NOT_FOUND = {"detail": "Not found."}


def assert_closed(shop: Shop, path: str) -> None:
    with shop.outside() as stranger, shop.connect(GATEWAY) as service:
        for spelling in (path, f"/{path}", path.upper(), path.replace("/internal", "/%69nternal")):
            # A whole address, for of two slashes alone the client would make a host.
            answer = stranger.get(f"http://{stranger.base_url.netloc.decode()}{spelling}")
            assert (answer.status_code, answer.json()) == (404, NOT_FOUND), spelling
        # There a process is asked, and asks who calls.
        assert service.get(path).status_code == 401


@pytest.mark.parametrize("path", INTERNAL)
def test_what_services_ask_of_the_monolith_is_not_there_for_strangers(started, path):
    assert_closed(started, path)


@pytest.mark.parametrize("path", INTERNAL)
def test_nor_is_what_they_ask_of_each_other(moved, path):
    assert_closed(moved, path)


@pytest.mark.parametrize("path", ["/.strangler/deletions", "//.strangler/deletions", "/%2eStrangler/deletions"])
def test_what_the_sides_of_a_move_ask_each_other_is_asked_by_the_gateway_of_nobody(moved, path):
    with moved.outside() as stranger, moved.connect(GATEWAY) as service:
        for client in (stranger, service):
            answer = client.post(f"http://{client.base_url.netloc.decode()}{path}", json={"kind": "probe"})
            assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_the_admin_and_its_files_are_not_there_for_strangers(started):
    with started.outside() as stranger:
        for path in ("/admin/login/", "/static/admin/css/base.css", "/static//Admin/js/core.js"):
            assert (stranger.get(path).status_code, stranger.get(path).json()) == (404, NOT_FOUND), path


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_how_the_processes_are_is_not_told_to_strangers(started, path):
    with started.outside() as stranger:
        assert stranger.get(path).json() == {"detail": "The gateway answers."}
        assert stranger.get(path.upper()).status_code == 404
