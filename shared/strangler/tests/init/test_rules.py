"""Which tables are a candidate, and which candidate a request belongs to."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence

import pytest
from strangler.domain.errors import ConfigurationError
from strangler.init import dividing, drafting, writing
from strangler.init.claiming import Claim, claims
from strangler.init.described import App, Described, Reference, Request, Table

DJANGO = App("auth", "django.contrib.auth", own=False)
OWN = {"loans": "loans_loan", "books": "books_book"}


def project(
    *requests: Request, apps: Sequence[App] = (), tables: Sequence[Table] = (), keys: Sequence[Reference] = ()
) -> Described:
    """A project with two apps of its own, which have a table each, and Django's."""
    known = [*(App(label, label, own=True) for label in OWN), DJANGO, *apps]
    there = [*(Table(table, label) for label, table in OWN.items()), Table("auth_group", "auth"), *tables]
    return Described(
        "library",
        whole=True,
        apps={app.label: app for app in known},
        tables=there,
        references=keys,
        requests=requests,
    )


def request(
    path: str,
    writes: Mapping[str, Sequence[str]],
    *,
    app: str | None = "loans",
    reads: Sequence[str] = (),
    split: bool = True,
    every: bool = False,
) -> Request:
    return Request(
        path=path,
        view="view",
        place=f"{app}/views.py:1",
        app=app,
        model=None,
        any=every,
        split=split,
        writes=writes,
        reads=dict.fromkeys(writes, reads),
    )


def claimed(*requests: Request, chosen: Sequence[str] = ()) -> dict[str, list[Claim]]:
    described = project(*requests)
    division = dividing.divide(described, chosen)
    return claims(described, division.candidate_of, division.apps)


def texts(*requests: Request) -> dict[str, list[str]]:
    return {name: [one.text for one in found if not one.refusal] for name, found in claimed(*requests).items()}


def test_apps_of_the_projects_own_are_candidates() -> None:
    assert dividing.divide(project()).candidates == {"loans": ["loans_loan"], "books": ["books_book"]}


def test_what_others_refer_to_comes_first() -> None:
    keys = [Reference("loans_loan", "book_id", "books_book")]

    assert list(dividing.divide(project(keys=keys)).candidates) == ["books", "loans"]


def test_keys_in_both_directions_keep_the_order_of_the_apps() -> None:
    keys = [Reference("loans_loan", "book_id", "books_book"), Reference("books_book", "last_id", "loans_loan")]

    assert list(dividing.divide(project(keys=keys)).candidates) == ["loans", "books"]


def test_packages_are_candidates_where_the_project_has_no_table_of_its_own() -> None:
    bought = [App("basket", "oscarlike.basket", own=False), App("results", "results", own=False), DJANGO]
    described = Described(
        "library",
        whole=True,
        apps={app.label: app for app in bought},
        tables=[Table("basket_line", "basket"), Table("results_row", "results"), Table("auth_group", "auth")],
        requests=[request("/basket", {"POST": ["basket_line", "auth_group"]}, app=None)],
    )

    assert dividing.divide(described).candidates == {"basket": ["basket_line"]}


@pytest.mark.parametrize(
    ("label", "name"), [("Loans", "loans"), ("my.app", "my_app"), ("2do", "app_2do"), ("x" * 60, "x" * 40)]
)
def test_a_candidates_name_can_name_a_slot(label: str, name: str) -> None:
    described = project(apps=[App(label, label, own=True)], tables=[Table("t", label)])

    assert name in dividing.divide(described, [label]).candidates


@pytest.mark.parametrize("taken", ["web", "worker", "serve", "gateway", "postgres-x", "monolith"])
def test_a_service_is_not_called_what_is_taken(taken: str) -> None:
    assert dividing.process_name(taken, {"web", "worker", "monolith"}) == f"{taken}-service"


def test_a_request_belongs_to_whose_table_it_writes_and_not_to_where_its_view_is() -> None:
    (claim,) = claimed(request("/x", {"POST": ["books_book"]}))["books"]

    assert (claim.text, claim.doubts) == ("POST /x", ["its view is in loans, and writes books"])


def test_what_writes_nothing_belongs_to_where_its_view_is() -> None:
    assert texts(request("/x", {"GET": []})) == {"loans": ["GET /x"]}


def test_a_view_of_an_app_without_tables_belongs_to_the_only_app_that_it_reads() -> None:
    assert texts(request("/x", {"GET": []}, app="front", reads=["books_book"])) == {"books": ["GET /x"]}


def test_a_page_of_several_is_nobodys() -> None:
    assert texts(request("/x", {"GET": []}, app="front", reads=["books_book", "loans_loan"])) == {}


def test_a_page_of_one_that_moves_and_one_that_stays_is_nobodys() -> None:
    page = request("/books/{id}", {"GET": []}, app="books", reads=["books_book", "loans_loan"])
    assert claimed(page, chosen=["loans"]) == {}
    desk = request("/desk", {"GET": []}, app="auth", reads=["auth_group", "loans_loan"])
    assert [claim.text for claim in claimed(desk, chosen=["loans"])["loans"]] == ["GET /desk"]


def test_methods_with_code_of_their_own_can_belong_to_two() -> None:
    both = request("/x", {"POST": ["books_book"], "PATCH": ["loans_loan"]}, app=None)

    assert texts(both) == {"books": ["POST /x"], "loans": ["PATCH /x"]}


def test_a_function_belongs_to_one_with_all_its_methods() -> None:
    both = request("/x", {"GET": ["books_book"], "POST": ["books_book", "loans_loan"]}, split=False, every=True)

    (claim,) = claimed(both)["loans"]
    assert (claim.text, claim.doubts) == ("* /x", ["it also writes books (books_book)"])


def test_of_two_routes_that_could_both_take_a_request_the_one_that_writes_is_kept() -> None:
    found = claimed(
        request("/{a}/{b}", {"POST": ["books_book"]}, app="books"), request("/loans/{id}", {"POST": []}, app="loans")
    )

    assert [one.refusal for one in found["books"]] == [""]
    assert [one.refusal for one in found["loans"]] == ['it could also be "POST /{a}/{b}" of books: narrow it']


def test_a_route_that_takes_what_is_nobodys_is_asked_about() -> None:
    found = claimed(
        request("/x/{id}", {"GET": []}),
        request("/x/{id}/lines", {"GET": []}),
        request("/x/report", {"GET": [], "DELETE": []}, app=None),
        request("/x/summary", {"GET": []}, app=None),
    )["loans"]

    assert {one.text: one.doubts for one in found} == {
        "GET /x/{id}": [
            "it also takes GET /x/report, GET /x/summary, which no capability has: the service must answer it, too",
        ],
        "GET /x/{id}/lines": [],
    }


def test_of_two_that_write_the_narrower_one_is_kept() -> None:
    found = claimed(
        request("/*", {"POST": ["books_book"]}, app="books"), request("/loans/{id}", {"POST": ["loans_loan"]})
    )

    assert [one.refusal for one in found["books"]] == ['it could also be "POST /loans/{id}" of loans: narrow it']
    assert [one.refusal for one in found["loans"]] == [""]


def test_narrower_routes_come_first_and_what_is_taken_whole_is_left_out() -> None:
    found = texts(
        request("/loans/*", {"GET": []}),
        request("/loans/{id}.{format}", {"GET": []}),
        request("/loans/{id}", {"GET": [], "POST": []}),
        request("/loans/new", {"GET": []}),
    )

    assert found == {"loans": ["GET /loans/new", "GET,POST /loans/{id}", "GET /loans/*"]}


@pytest.mark.parametrize("path", ["/a b", "/a//b", "/..", "/a?b", "/admin/x", "/metrics"])
def test_a_path_that_no_route_can_have_is_a_comment(path: str) -> None:
    written = writing.text(drafting.draft(project(request(path, {"POST": ["loans_loan"]}))))

    assert f'# "POST {path}",' in written
    assert "loans" not in tomllib.loads(written).get("capabilities", {})


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\tb", "é", "a\x7fb", "{id}"])
def test_any_name_survives_the_writing(name: str) -> None:
    described = project(request("/x", {"POST": [name]}), tables=[Table(name, "loans")])

    assert name in tomllib.loads(writing.text(drafting.draft(described)))["capabilities"]["loans"]["tables"]


def test_a_glob_that_would_take_a_moved_table_is_not_written() -> None:
    described = project(
        request("/x", {"POST": ["loans_loan"]}),
        apps=[App("lo", "lo", own=False)],
        tables=[Table("lo_a", "lo"), Table("lo_b", "lo"), Table("lo_ans", "loans")],
    )

    stays = [one.pattern for one in drafting.draft(described).stays]

    assert {"lo_a", "lo_b"} <= {*stays}
    assert "lo_*" not in stays


def test_a_candidate_without_a_route_is_a_comment_and_stays() -> None:
    written = writing.text(drafting.draft(project(request("/x", {"POST": ["loans_loan"]}))))

    file = tomllib.loads(written)
    assert list(file["capabilities"]) == ["loans"]
    assert "books_*" in file["stays"]["tables"]
    _, head, rest = written.partition("# [capabilities.books]\n")
    block = [*head.splitlines(), *rest.partition("\n\n")[0].splitlines()]
    section = tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in block))
    assert section["capabilities"]["books"]["tables"] == ["books_book"]
    assert {"books"} == section["databases"].keys() == section["processes"].keys()


def test_a_chosen_app_without_tables_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the app front has no table"):
        dividing.divide(project(), ["front"])
