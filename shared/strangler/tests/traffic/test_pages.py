"""What a client finds in a page: the id beside a text, hidden fields, choices, and where an answer leads."""

from __future__ import annotations

import pytest
from strangler.domain.pages import Page, in_location, led_to
from strangler.domain.traffic import Answer, Unexpected

TABLE = """
<table>
<tr><td>note-1<td><a href="/desk/7/">see</a> <a href='/desk/7/back/?x=1'>back</a>
<tr><td>note-12<td><a href="/desk/8/">see</a> <form action="8/back/"><input type=hidden name=version value=3></form>
</table>
<a href="/desk/new/">+</a> <a href="http://[">broken</a>
<form><input type="hidden" name="csrfmiddlewaretoken" value="t0ken"><select name="room"><option value="">-
<option value="a">A<option value="b">B</select><input type=radio name=size value=L></form>
"""
LIST = """<ul><li data-note="note-1" id="9">one <form action="/desk/9/back/"></form></li>
<li data-note="note-2" id="10">two <form action="/desk/10/back/"></form></li></ul>"""


@pytest.mark.parametrize(
    ("page", "path", "near", "id"),
    [
        (TABLE, "/desk/{}/back/", "note-1", "7"),
        (TABLE, "/desk/{}/back/", "note-12", "8"),
        (TABLE, "/desk/{}/", "note-12", "8"),
        (LIST, "/desk/{}/back/", "note-2", "10"),
        (LIST, "/desk/{}/back/", "one", "9"),
        ("<div>" * 5000 + 'deep <a href="/desk/5/">', "/desk/{}/", "deep", "5"),
        ('<p>spaces <a href="/desk/a%20b/">', "/desk/{}/", "spaces", "a b"),
    ],
)
def test_an_id_stands_in_the_same_row_as_the_text(page: str, path: str, near: str, id: str) -> None:
    assert Page(page.encode(), "/desk/").id(path, near=near) == id


@pytest.mark.parametrize(
    ("page", "near", "why"),
    [
        (LIST, "note-3", "note-3 is not on the page"),
        (LIST, "note", "note is not on the page"),
        ("<p>note-1", "note-1", "note-1 has not a link to /desk/{}/back/ beside it, or several"),
        (f"<div>{LIST} both </div>", "both", "or several"),
    ],
)
def test_what_is_not_there_once_is_unexpected(page: str, near: str, why: str) -> None:
    with pytest.raises(Unexpected) as caught:
        Page(page).id("/desk/{}/back/", near=near)

    assert why in str(caught.value)


def test_a_form_has_fields_and_choices() -> None:
    page = Page(TABLE, "/desk/")

    assert (page.token, page.hidden("version"), page.hidden("version", near="note-12")) == ("t0ken", "3", "3")
    assert (page.choices("room"), page.choices("size")) == (["a", "b"], ["L"])
    assert page.ids("/desk/{}/") == ["7", "8", "new"]
    for ask in (lambda: page.hidden("none"), lambda: page.choices("none")):
        with pytest.raises(Unexpected):
            ask()


def test_an_answer_leads_to_a_page() -> None:
    answer = Answer(302, {"location": "http://club.example/desk/7/?done=1"}, b"")

    assert (led_to(answer), in_location(answer, "/desk/{}/")) == ("/desk/7/?done=1", "7")
    with pytest.raises(Unexpected, match="leads to no other page"):
        in_location(Answer(200, {}, b""), "/desk/{}/")
