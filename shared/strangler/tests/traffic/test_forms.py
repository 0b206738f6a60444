"""A project of pages: what is drafted from a recording whose ids stand in links, hidden fields and redirects alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import project
import pytest
from click.testing import Result
from strangler.domain.errors import ConfigurationError
from strangler.domain.traffic import Answer, Operation, Write
from strangler.rehearsal.adapters.crew import load_scenario

FILE = project.FILE.replace('"POST /api/talks/{id}/publish/"', '"* /desk/*"')
At = Callable[..., Result]
KEY = "5f0e4b0e-0000-4000-8000-000000000007"
SESSION = {"access": "session", "form": True}
ADDED = project.row("talks_talk", "insert", id=KEY, title="On fences", room="AB", member_id="3")


def page(*paths: str, hidden: dict[str, str] | None = None, **choices: list[str]) -> dict[str, Any]:
    return {"page": {"paths": list(paths), "hidden": hidden or {}, "choices": choices}}


def add(call: int = 0, location: str = "/desk/", **body: str) -> dict[str, Any]:
    sent = {"title": "On fences", "room": "AB", **body}
    return project.request(
        "POST", "/desk/add/", 302, call=call, body=sent, location=location, rows=[ADDED], **page(), **SESSION
    )


def act(what: str, call: int, **more: Any) -> dict[str, Any]:
    made = project.request("POST", f"/desk/{{pk}}/{what}/", 302, call=call, **SESSION, **{"body": {}, **more})
    return {**made, "path": f"/desk/{KEY}/{what}/"}


def see(call: int, path: str, **shown: Any) -> dict[str, Any]:
    return project.request("GET", path, 200, call=call, access="session", **shown)


def drafted(at: At, *lines: dict[str, Any]) -> str:
    recording = project.recording(Path("traffic.jsonl"), list(lines))
    done = at("traffic", "draft", "--recording", str(recording))
    assert done.exit_code == 0, done.output
    ruff = str(Path(sys.executable).with_name("ruff"))
    for words in (["check"], ["format", "--check", "--line-length", "120"]):
        subprocess.run([ruff, *words, "--isolated", "traffic.py"], check=True)
    return Path("traffic.py").read_text()


def loaded(text: str, **decisions: Any) -> ModuleType:
    module = ModuleType("drafted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUB_USERNAME", "ada, eve")
        patch.setenv("CLUB_PASSWORD", "x")
        exec(compile(text, "traffic.py", "exec"), module.__dict__)
    vars(module).update(decisions)
    return module


class Site:
    """Answers a visit with pages that show what it has sent."""

    def __init__(self, location: str = "/desk/", more: str = "") -> None:
        self.location = location
        self.more = more
        self.made: dict[str, str] = {}
        self.asked: list[Operation] = []
        self.left: list[Write] = []

    def play(self, behaviour: Any, most: int = 60) -> None:
        answer = None
        for _ in range(most):
            try:
                operation = behaviour.send(answer)
            except StopIteration:
                return
            self.asked.append(operation)
            answer = self._answer(operation)
            self.left += [*operation.writes, *(operation.told(answer) if operation.told else ())]

    def _answer(self, operation: Operation) -> Answer:
        status, body, headers = min(operation.expected), "", {}
        if operation.path == "/desk/add/" and operation.method == "POST":
            id = f"{len(self.made):08x}-0000-4000-8000-000000000000"
            self.made[id] = str((operation.form or {})["title"])
            headers = {"Location": self.location.replace("{}", id)}
        elif operation.method == "GET":
            body = self.more + "".join(
                f'<li>{title}<a href="/desk/{id}/back/">x</a><input type=hidden name=talk value="{id}"></li>'
                for id, title in self.made.items()
            )
        return Answer(status, headers, body.encode(), {"csrftoken": "c"} if operation.path == "/login/" else {})

    @property
    def acted(self) -> list[str]:
        return [one.path for one in self.asked if one.method == "POST" and one.path.count("/") > 3]


def test_an_id_is_found_on_the_page_to_which_a_form_leads(at: At) -> None:
    module = loaded(drafted(at, add(), see(1, "/desk/", **page(f"/desk/{KEY}/back/", "/desk/add/")), act("back", 2)))
    site = Site()
    site.play(module.Traffic("0a1b2c").client(1, Random(1)), 400)

    assert {each.removeprefix("/desk/").removesuffix("/back/") for each in site.acted} == set(site.made)
    assert site.left[0].key == {"title": min(site.made.items())[1]}
    # Each client takes one of the accounts.
    assert site.asked[1].form == {"username": "eve", "password": "x"}


def test_an_id_is_found_though_the_test_took_it_from_the_database(at: At) -> None:
    """Another test has seen the page."""
    other = {**see(0, "/desk/", **page("/desk/1-2/back/")), "test": "other"}
    module = loaded(drafted(at, add(), act("back", 1), other))
    site = Site()
    site.play(module.Visit("r", 0, Random(1)).back_desk())

    assert site.acted == [f"/desk/{min(site.made)}/back/"]


def test_an_id_is_found_in_the_address_to_which_a_form_leads(at: At) -> None:
    rows = [{**ADDED, "values": {**ADDED["values"], "title": "other"}}]
    made = {**add(location=f"/desk/{KEY}/"), "rows": rows}
    module = loaded(drafted(at, made, act("back", 1)))
    site = Site("/desk/{}/")
    site.play(module.Visit("r", 0, Random(1)).back_desk())

    assert site.acted == [f"/desk/{min(site.made)}/back/"]
    assert dict(site.left[0].key) == {"id": min(site.made)}


def test_an_id_is_found_in_a_hidden_field(at: At) -> None:
    shown = page(hidden={"talk": KEY})
    module = loaded(drafted(at, add(), see(1, "/desk/", **shown), act("back", 2)))
    site = Site()
    site.play(module.Visit("r", 0, Random(1)).back_desk())

    assert site.acted == [f"/desk/{min(site.made)}/back/"]


@pytest.mark.parametrize("other", ["/rooms/{pk}/", "/desk/{pk}/notes/{no}/"])
def test_a_number_that_several_tables_have_leads_nobody_astray(at: At, other: str) -> None:
    """In tests many things have the number 1."""
    one = {**ADDED, "key": {"id": "1"}, "values": {**ADDED["values"], "id": "1"}}
    lines = [
        {**add(), "rows": [one]},
        {**see(1, other, **page()), "path": other.replace("{pk}", "1").replace("{no}", "1")},
        see(2, "/desk/", **page("/rooms/1/", "/desk/1/notes/1/", "/desk/1/back/")),
        {**act("back", 3), "path": "/desk/1/back/"},
    ]
    site = Site()
    site.play(loaded(drafted(at, *lines)).Visit("r", 0, Random(1)).back_desk())

    assert site.acted == [f"/desk/{min(site.made)}/back/"]


def test_fields_of_a_form_are_those_of_its_page(at: At) -> None:
    form = see(0, "/desk/add/", **page(hidden={"version": "4"}, room=["AB", "CD"]))
    text = drafted(at, form, add(1, version="4"), see(2, "/desk/", **page(f"/desk/{KEY}/back/")), act("back", 3))
    more = '<input type=hidden name=version value=9><select name=room><option value="ZZ"></select>'
    site = Site(more=more)
    site.play(loaded(text).Visit("r", 0, Random(1)).back_desk())

    sent = next(one for one in site.asked if one.path == "/desk/add/" and one.method == "POST").form
    assert sent is not None
    assert (sent["version"], sent["room"]) == ("9", "ZZ")
    assert site.left[0].values["room"] == "ZZ"


def test_a_client_ends_what_it_has_begun_and_does_once_what_may_be_possible_once(at: At) -> None:
    shown = see(1, "/desk/", **page(f"/desk/{KEY}/back/"))
    module = loaded(drafted(at, add(), shown, act("extend", 2), act("back", 3)))
    for number in range(4):
        site = Site()
        site.play(module.Traffic("0a1b2c").client(number, Random(number)), 500)
        backs = [each for each in site.acted if each.endswith("/back/")]
        extended = [each for each in site.acted if each.endswith("/extend/")]
        assert len(backs) == len(site.made)
        assert len(extended) == len(set(extended)) > 0


def test_a_row_that_an_action_adds_is_found_by_the_text_that_was_sent(at: At) -> None:
    """Though the form calls it otherwise than the column."""
    note = project.row("talks_note", "insert", id="3", text="Wet from the rain", talk_id=KEY)
    back = act("back", 2, body={"remark": "Wet from the rain"}, rows=[note])
    module = loaded(drafted(at, add(), see(1, "/desk/", **page(f"/desk/{KEY}/back/")), back))
    site = Site()
    site.play(module.Visit("r", 0, Random(1)).back_desk())

    left = site.left[-1]
    assert (left.table, dict(left.values)) == ("talks_note", {"talk_id": min(site.made)})
    assert left.key == {"text": site.asked[-1].form["remark"]}  # type: ignore[index]


def test_ids_in_the_links_of_a_page_name_what_may_be_read(at: At) -> None:
    item = {**see(1, "/desk/{pk}/", **page()), "path": "/desk/7/"}
    module = loaded(drafted(at, see(0, "/desk/", **page("/desk/7/", "/desk/8/")), item, add(2, location="/")))
    site = Site(more='<a href="/desk/11/">')
    site.play(module.Visit("r", 0, Random(1)).see_desk())

    assert [one.path for one in site.asked] == ["/desk/", "/desk/11/"]


def test_what_no_page_shows_is_a_decision_and_a_rehearsal_is_refused_by_its_name(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = drafted(at, add(member="3"), see(1, "/desk/", **page(f"/desk/{KEY}/back/")), act("back", 2))
    monkeypatch.setenv("CLUB_USERNAME", "ada")
    monkeypatch.setenv("CLUB_PASSWORD", "x")
    Path("undecided_traffic.py").write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        load_scenario(Path.cwd(), "undecided_traffic:Traffic")

    line = next(n for n, each in enumerate(text.splitlines(), 1) if "ADD_MEMBER = undecided(" in each)
    assert f"ADD_MEMBER (line {line}): which member does POST /desk/add/ take?" in caught.value.message
    assert (caught.value.id, caught.value.place.endswith(f"undecided_traffic.py:{line}")) == ("undecided", True)
    site = Site()
    site.play(loaded(text, CREATE_ADD_MEMBER=lambda visit: visit.number + 40).Visit("r", 2, Random(1)).create_add())
    made = next(one for one in site.asked if one.method == "POST")
    assert made.form is not None
    assert (made.form["member"], site.left[0].values["member_id"]) == (42, 42)


def test_the_report_names_what_the_recording_has_not_seen(at: At) -> None:
    lines = [{**add(), "unseen": {"talks_note": "more than 2,000 rows"}}, act("show", 1, files=["slides"])]
    head = {"kind": "project", "form": 2, "django": "5.2", "login": "/login/", "tables": project.TABLES}
    program = "import os, pathlib, sys\npathlib.Path(os.environ['STRANGLER_RECORDING'] + '.1').write_text({!r})"
    Path("tests.py").write_text(program.format("".join(json.dumps(each) + "\n" for each in (head, *lines))))

    done = at("traffic", "record", "--json", "--", sys.executable, "tests.py")

    findings = json.loads(done.stdout)["findings"]
    assert [(each["id"], each["message"]) for each in findings] == [
        ("not-recorded", "POST /desk/{pk}/show/: the content of its files (slides) was not recorded"),
        ("not-recorded", "POST /desk/add/: what is left in talks_note was not recorded, for more than 2,000 rows"),
    ]
    Path("traffic.py").unlink(missing_ok=True)
    at("traffic", "draft", "--recording", "traffic.jsonl")
    assert "what is left in talks_note was not recorded" in " ".join(Path("traffic.py").read_text().split("\n# "))
