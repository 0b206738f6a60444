"""`strangler init` in a project that is not ours: what it writes, what it refuses, and what it names later."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from projects_asked import Asked
from strangler.adapters import toml

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/reference/json.schema.json").read_text())
MODEL = """
class Booth(models.Model):
    fair = models.ForeignKey(Fair, models.CASCADE)
    work = models.ForeignKey("works.Work", models.CASCADE)
"""
ROUTE = """
urlpatterns += [path("fairs/<uuid:pk>/close/all", fairs.enter)]
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A project in which `init` has written the file."""
    project = Asked.copied(tmp_path_factory.mktemp("guild"))
    done = project.strangler("init")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="module")
def file(written: Asked) -> dict[str, Any]:
    return tomllib.loads(written.file.read_text())


@pytest.fixture
def project(tmp_path: Path, written: Asked) -> Asked:
    """The same project with the same file, for a test to change."""
    project = Asked.copied(tmp_path / "guild")
    project.file.write_text(written.file.read_text())
    return project


def read(printed: str) -> dict[str, Any]:
    """The JSON, if it is what its page says."""
    told = json.loads(printed)
    jsonschema.validate(told, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/init"}]})
    return told


def comments(project: Asked) -> str:
    """All that stands in comments, in one line."""
    lines = project.file.read_text().splitlines()
    return " ".join(line.strip().removeprefix("#").strip() for line in lines if line.strip().startswith("#"))


def test_the_tool_reads_the_file_as_it_is(written: Asked) -> None:
    project = toml.load(written.file, addresses=False)

    assert list(project.capabilities) == ["members", "works", "fairs"]
    assert (project.ledger, project.monolith) == ("monolith", "web")


def test_tables_are_those_of_the_app_but_what_each_database_numbers_or_does_not_make(file: dict[str, Any]) -> None:
    assert {name: each["tables"] for name, each in file["capabilities"].items()} == {
        "members": ["members_member"],
        "works": ["works_work_judges", "works_work", "works_remark"],
        "fairs": ["fairs_fair", "fairs_entry"],
    }
    assert file["stays"]["tables"] == [
        *("django_*", "chassis_*", "auth_*", "stamps_*", "works_ranking"),
        *("members_member_groups", "members_member_user_permissions"),
    ]


def test_routes_are_those_of_the_resolver(file: dict[str, Any]) -> None:
    """The router's with its action, what a regular expression takes, and each language; not the admin."""
    assert {name: each["routes"] for name, each in file["capabilities"].items()} == {
        "members": ["GET,POST /members/{id}/", "GET,POST /pt-br/members/{id}/"],
        "works": [
            "GET,POST /api/works/",
            "GET,DELETE /api/works/{id}/",
            "POST /api/works/{id}/praise/",
            "GET /files/*",
        ],
        "fairs": ["POST /fairs/{id}/enter", "* /fairs/{a}/{b}", "* /fairs/{a}/{b}/"],
    }


def test_references_are_named_in_both_directions(file: dict[str, Any]) -> None:
    def of(name: str) -> set[tuple[Any, ...]]:
        found = file["capabilities"][name].get("references", [])
        return {(one["table"], one["column"], one.get("to"), one.get("deletes")) for one in found}

    assert of("members") == {
        ("django_admin_log", "user_id", None, None),
        ("members_member_groups", "member_id", None, None),
        ("members_member_user_permissions", "member_id", None, None),
        ("works_work_judges", "member_id", None, None),
        ("works_work", "owner_id", None, None),
    }
    assert of("works") == {("fairs_entry", "work_id", "works_work.id", None)}
    assert of("fairs") == {("works_work", "best_at_id", None, None)}
    assert file["capabilities"]["works"]["parents"] == [{"table": "works_work", "column": "stamp_id", "deletes": False}]


@pytest.mark.parametrize(
    "question",
    [
        "Has the project's user model",
        "Foreign keys in both directions with fairs (works_work.best_at_id SET_NULL; fairs_entry.work_id PROTECT)",
        "works_work_judges, a many-to-many relation, joins it with members_member",
        "works.Remark has a GenericForeignKey (about)",
        "fairs.Entry.work says PROTECT",
        "it also writes works (works_work) (fairs/views.py:",
        'the gateway closes /admin; with open = ["/admin/*"] in [gateway] it could be named (works/views.py:',
        'it could also be "GET /files/*" of works: narrow it (fairs/views.py:',
        'closed = ["/backoffice/*"]',
    ],
)
def test_a_person_is_asked(written: Asked, question: str) -> None:
    assert question in comments(written)


def test_why_a_table_stays_is_said_beside_it(written: Asked) -> None:
    text = written.file.read_text()

    assert '"stamps_*",  # of the installed package stamps' in text
    assert '"members_member_groups",  # it points at groups, which each database numbers itself' in text


def test_programs_are_those_of_the_settings(file: dict[str, Any]) -> None:
    assert file["processes"]["web"]["command"][-1].startswith("exec uvicorn guild.asgi:application ")
    assert file["processes"]["worker"]["command"][:5] == ["celery", "--app", "guild", "worker", "--beat"]
    assert file["broker"] == {"embedded": True, "url_env": "BROKER_URL"}


def test_an_app_can_be_chosen_so_that_the_others_stay(project: Asked) -> None:
    done = project.strangler("init", "--force", "--app", "works", "--json")

    told = read(done.stdout)
    assert (list(told["capabilities"]), told["ready"], told["findings"]) == (["works"], True, [])
    assert {"members_*", "fairs_*"} <= {*told["stays"]}
    assert '"members_*",  # the app members was not chosen' in project.file.read_text()


def test_the_chassis_need_not_be_among_the_installed_apps_but_may(project: Asked, written: Asked) -> None:
    project.add("guild/settings.py", 'INSTALLED_APPS += ["chassis"]\n')

    shown = project.strangler("init", "--print")

    assert 'outbox = "chassis_outbox"' in shown.stdout
    assert "outbox" not in written.file.read_text()


def test_a_description_can_come_from_another_machine(project: Asked) -> None:
    project.add("guild/settings.py", 'INSTALLED_APPS += ["chassis"]\n')
    there = project.folder / "described.json"
    described = project.manage("strangler_init", "--output", str(there))
    assert described.returncode == 0, described.stderr

    shown = project.strangler("init", "--print", "--from", "-", stdin=there.read_text())

    assert tomllib.loads(shown.stdout)["capabilities"].keys() == {"members", "works", "fairs"}


@pytest.mark.parametrize("text", ["", "{}", '{"form": 1}', "[1]"])
def test_what_is_no_description_is_refused(project: Asked, text: str) -> None:
    done = project.strangler("init", "--print", "--from", "-", stdin=text)

    assert (done.returncode, done.stdout) == (2, "")
    assert "manage.py strangler_init" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_existing_file_is_left_as_it_is(project: Asked) -> None:
    project.file.write_text("mine")

    done = project.strangler("init")

    assert (done.returncode, project.file.read_text()) == (2, "mine")
    assert "is there already" in done.stderr
    assert project.strangler("init", "--force").returncode == 0
    assert project.file.read_text() != "mine"


def test_a_file_that_still_holds_is_not_complained_of(project: Asked) -> None:
    done = project.strangler("init", "--check")

    assert (done.returncode, "it knows all" in done.stdout) == (0, True)


def test_a_new_table_and_a_new_route_are_named(project: Asked) -> None:
    before = project.file.read_text()
    project.add("fairs/models.py", MODEL)
    project.add("guild/urls.py", ROUTE)

    done = project.strangler("init", "--check", "--json")

    told = read(done.stdout)
    messages = " ".join(one["message"] for one in told["findings"])
    assert (done.returncode, told["ready"]) == (1, False)
    assert {one["id"] for one in told["findings"]} == {"file-behind"}
    assert "the table fairs_booth (fairs.Booth)" in messages
    assert "the reference fairs_booth.work_id → works_work" in messages
    assert 'the route "POST /fairs/{id}/close/all"' in messages
    assert len(told["findings"]) == 4  # fairs_booth.fair_id is a reference as well, for the table is nowhere yet
    assert project.file.read_text() == before


def test_what_a_person_has_decided_is_not_named_again(project: Asked) -> None:
    project.add("guild/urls.py", ROUTE)
    project.add("strangler.toml", '# "POST /fairs/{id}/close/all" stays: it only sends mail')

    assert project.strangler("init", "--check").returncode == 0


@pytest.mark.parametrize(
    ("name", "place", "last"),
    [
        ("guild/settings.py", "guild/settings.py:", "ModuleNotFoundError: No module named 'nowhere'"),
        ("works/models.py", "works/models.py:", "ModuleNotFoundError: No module named 'nowhere'"),
        ("guild/urls.py", "guild/urls.py:", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_project_that_cannot_be_set_up_is_told_where(project: Asked, name: str, place: str, last: str) -> None:
    project.add(name, "import nowhere\n")
    project.file.unlink()

    done = project.strangler("init")

    assert (done.returncode, project.file.exists()) == (2, False)
    assert place in done.stderr
    assert last in done.stderr
    assert "--database URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_there_is_no_project_that_is_said(tmp_path: Path) -> None:
    done = Asked(tmp_path).strangler("init")

    assert done.returncode == 2
    assert "there is no manage.py here" in done.stderr


def test_a_project_with_nothing_to_move_gets_a_file_and_is_told(tmp_path: Path) -> None:
    described: dict[str, Any] = {name: [] for name in ("apps", "tables", "references", "requests", "admins")}
    described |= {"form": 2, "name": "empty", "engine": "postgresql", "user_table": None, "not_looked_at": []}
    described["programs"] = {"wsgi": "empty.wsgi:application", "asgi": None, "celery": None, "schedule": False}
    project = Asked(tmp_path)

    done = project.strangler("init", "--from", "-", "--json", stdin=json.dumps(described))

    told = read(done.stdout)
    assert (done.returncode, told["ready"], [one["id"] for one in told["findings"]]) == (0, False, ["nothing-to-move"])
    assert toml.load(project.file, addresses=False).capabilities == {}


def test_a_project_without_settings_is_told_which_variable_is_missing(project: Asked) -> None:
    text = (project.folder / "manage.py").read_text()
    (project.folder / "manage.py").write_text(text.replace("os.environ.setdefault", "print"))

    done = project.strangler("init", "--print")

    assert (done.returncode, done.stdout) == (2, "")
    assert "set DJANGO_SETTINGS_MODULE" in done.stderr


def test_of_several_projects_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manage.py").touch()

    done = Asked(tmp_path).strangler("init")

    assert done.returncode == 2
    assert "one/manage.py, two/manage.py" in done.stderr


def test_an_app_that_cannot_move_is_refused(project: Asked) -> None:
    done = project.strangler("init", "--print", "--app", "auth")

    assert done.returncode == 2
    assert "the app auth stays in every project" in done.stderr
