"""What ``manage.py strangler_check`` finds in the project ``inspected``, which has each finding once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chassis.inspection import configuration, templates
from chassis.inspection.configuration import ConfigurationError
from chassis.inspection.findings import Finding, Report
from chassis.inspection.look import look
from chassis.management.commands import strangler_check
from django.core.management import CommandError, call_command
from django.template.backends.django import DjangoTemplates

HERE = Path(__file__).parent
PROJECT = HERE / "inspected"
MARK = re.compile(r"# -> ([a-z-]+)")

ELSEWHERE = [
    ("atomic-requests", "settings.DATABASES['second']"),
    ("autocommit-off", "settings.DATABASES['second']"),
    ("middleware-order", "settings.MIDDLEWARE"),  # the sessions
    ("middleware-order", "settings.MIDDLEWARE"),  # the project's own
    ("route-reads-outside", "strangler.toml, [capabilities.billing] routes"),
    ("route-without-view", "strangler.toml, [capabilities.billing] routes"),  # no pattern
    ("route-without-view", "strangler.toml, [capabilities.billing] routes"),  # not this method
]


def check(*arguments: str, config: str = "inspected/strangler.toml", **environment: str) -> Any:
    """Runs the command as a project would, where nothing answers at the database's address."""
    return subprocess.run(
        [sys.executable, "-m", "django", "strangler_check", *arguments, "--config", config],
        cwd=HERE,
        env={
            **{name: value for name, value in os.environ.items() if name != "STRANGLER_CONFIG"},
            "DJANGO_SETTINGS_MODULE": "inspected.settings",
            "PYTHONPATH": str(HERE),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def told() -> Any:
    return check("--json")


@pytest.fixture(scope="module")
def report(told) -> dict[str, Any]:
    return json.loads(told.stdout)


def finding(report: dict[str, Any], id: str, part: str) -> dict[str, Any]:
    """The only finding of the id whose message has the part."""
    found = [one for one in report["findings"] if one["id"] == id and part in one["message"]]
    assert len(found) == 1, found
    return found[0]


def test_each_marked_line_is_found_and_no_other(report):
    marked = []
    for file in sorted([*PROJECT.rglob("*.py"), *PROJECT.rglob("*.html")]):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            marked += [(id, f"{file.relative_to(HERE)}:{number}") for id in MARK.findall(line) if id != "ID"]

    found = [(one["id"], one["place"]) for one in report["findings"]]

    assert sorted(found) == sorted([*marked, *ELSEWHERE])


def test_errors_make_it_not_ready_and_exit_with_1(told, report):
    assert told.returncode == 1
    assert report["ready"] is False
    assert report["next"]


def test_a_finding_says_what_and_what_follows_and_what_to_do(report):
    for one in report["findings"]:
        assert one["message"].endswith("."), one
        assert one["remedy"]
        assert one["severity"] in ("error", "warning", "note")
        assert one["confidence"] in ("certain", "likely")


def test_a_staying_view_is_told_with_the_way_to_the_write(report):
    one = finding(report, "staying-view-writes", "/loans/{…}/back")

    assert one["message"].startswith("POST /loans/{…}/back writes billing_line")
    assert "give_back → remind" in one["message"]
    assert one["severity"] == "error"
    assert one["confidence"] == "certain"


def test_sql_is_only_likely(report):
    assert finding(report, "staying-view-writes", "by SQL")["confidence"] == "likely"


def test_what_a_person_has_explained_is_a_note(report):
    one = finding(report, "staying-view-writes", "/known")

    assert one["severity"] == "note"
    assert "the job that calls it ends before the move" in one["message"]


def test_a_route_that_lacks_a_method_is_told_how_to_have_it(report):
    one = finding(report, "view-without-route", "PUT /api/invoices/{…} ")

    assert "GET,PATCH /api" not in one["message"]
    assert one["remedy"] == "add PUT to the route DELETE,GET,PATCH /api/invoices/{id}"


def test_a_pattern_of_the_same_app_is_told_as_a_route(report):
    one = finding(report, "view-without-route", "/void")

    assert one["remedy"] == 'add "POST /api/invoices/{id}/void" to the routes of billing'


def test_a_cascade_names_what_stands_above(report):
    one = finding(report, "cascade-from-outside", "lending.Loan")

    assert "billing.Invoice.loan (CASCADE)" in one["message"]
    assert "lending.Reader" in one["message"]


def test_files_on_a_disk_are_an_error_until_somebody_says_that_both_sides_have_them(report):
    on_disk, elsewhere, known = (
        finding(report, "files-stay", part) for part in ("billing_scan", "billing_upload", "billing_receipt")
    )

    assert on_disk["severity"] == "error"
    assert "billing_scan.picture and billing_scan.path name files" in on_disk["message"]
    assert (elsewhere["severity"], known["severity"]) == ("note", "note")
    assert "both sides mount the volume" in known["message"]


def test_what_reads_the_copy_is_told_with_its_requests_and_places(report):
    one = finding(report, "copy-is-read", "GET /loans/{…} ")

    assert one["severity"] == "note", "reading is fine as long as the copy is kept"
    assert one["message"].startswith("billing_invoice and billing_line are read by GET /loans/{…} (at ")
    assert "inspected/billing/services.py" in one["message"], "what it calls is told with it"
    assert "until `strangler complete billing --drop`" in one["message"]
    assert "is_open" in one["remedy"]


def test_a_reader_of_the_capability_itself_is_told_as_a_route_too(report):
    one = finding(report, "copy-is-read", "/seen")

    assert one["remedy"].endswith('add "GET /api/invoices/{id}/seen" to the routes of billing')


def test_admins_of_what_moves_are_told_as_one(report):
    one = finding(report, "copy-is-read", "the admin's pages of billing.Archive")

    assert "billing.Line" in one["message"]
    assert one["remedy"] == "before the drop, take these admins out here: the service has its own"


def test_a_folder_with_too_many_files_is_told(monkeypatch):
    monkeypatch.setattr("chassis.inspection.templates.MOST_FILES", 1)
    project = SimpleNamespace(not_looked_at=[], readings=[], count=lambda what: None)
    monkeypatch.setattr("chassis.inspection.templates._library", lambda *_: [])
    monkeypatch.setattr("chassis.inspection.templates._relations", lambda _: {})
    engine = DjangoTemplates({"NAME": "x", "DIRS": [str(HERE)], "APP_DIRS": False, "OPTIONS": {}})
    monkeypatch.setattr("chassis.inspection.templates.engines", SimpleNamespace(all=lambda: [engine]))

    assert list(templates.findings(project)) == []
    assert project.not_looked_at == [f"templates in {HERE}: of more than 1 files only the first"]


def test_what_moves_and_writes_what_stays_is_told(report):
    one = finding(report, "route-writes-outside", "Reader.objects.update()")

    assert one["message"].startswith("POST /api/invoices/{…}/pay belongs to billing and writes lending_reader by ")
    assert one["severity"] == "warning"
    assert finding(report, "route-writes-outside", "It was looked at")["severity"] == "note"


def test_what_moves_and_reads_what_stays_is_told_as_one(report):
    one = finding(report, "route-reads-outside", "")

    assert "The routes of billing read lending_reader (at inspected/billing/views.py:" in one["message"]
    assert one["severity"] == "note"


def test_tags_of_a_library_are_told_as_one(report):
    one = finding(report, "copy-is-read", "the template tag unpaid")

    assert "the template filter lines" in one["message"]


def test_a_template_is_only_likely(report):
    one = finding(report, "copy-is-read", "templates that name invoices")

    assert one["confidence"] == "likely"


def test_before_a_drop_what_reads_is_an_error_unless_it_is_explained():
    report = json.loads(check("--json", "--before-drop").stdout)

    found = {one["place"]: one for one in report["findings"] if one["id"] == "copy-is-read"}
    severities = {one["severity"] for one in found.values() if one["reason"] is None}
    assert severities == {"error"}
    assert finding(report, "copy-is-read", "/owed")["severity"] == "note"


def test_a_reader_that_moves_with_another_capability_is_told_so(tmp_path):
    (tmp_path / "moves.toml").write_text(
        (PROJECT / "strangler.toml").read_text()
        + '[capabilities.lending]\ntables = ["lending_loan", "lending_reader"]\nroutes = ["GET /owing"]\n'
    )

    report = json.loads(check("billing", "--before-drop", "--json", config=str(tmp_path / "moves.toml")).stdout)

    one = finding(report, "copy-is-read", "GET /owing")
    assert one["severity"] == "warning"
    assert "If lending has not left by then" in one["message"]
    assert one["remedy"].startswith("let lending leave before the drop")
    assert finding(report, "copy-is-read", "POST,PUT,PATCH,DELETE /owing")["severity"] == "error"


def test_it_says_what_it_looked_at_and_what_not(report):
    assert report["looked_at"]["views"] > 10
    assert report["looked_at"]["commands"] == 2
    assert report["not_looked_at"][0] == "payroll: this project has none of its models"
    own = [text for text in report["not_looked_at"] if "inspected/" in text]
    assert [text.partition(":")[0] for text in own] == [
        "1 call of save() or the like of an object whose class is not known, reached by routes of what moves alone"
    ]
    assert "lending/views.py" in own[0]


def test_a_call_of_which_nothing_is_known_is_told_with_its_requests(report):
    one, known = finding(report, "unknown-write", "POST /kept "), finding(report, "unknown-write", "/parcels")

    assert one["severity"] == "warning"
    assert "request.parcel.save()" in one["message"]
    assert known["severity"] == "note"
    assert known["reason"] == "parcels stay"


def test_what_persons_have_explained_is_counted(report):
    assert report["explained"] == sum(one["reason"] is not None for one in report["findings"]) > 1


def test_a_variable_that_takes_a_few_words_only_is_answered(report):
    assert "* /loans/{…}/{…}" in finding(report, "staying-view-writes", "/loans/{…}/{…}")["message"]
    assert not [text for text in report["not_looked_at"] if "no path is known" in text]


def test_views_that_an_admin_has_added_are_looked_at(report):
    on_get, on_both = finding(report, "admin-writes", "thin_out"), finding(report, "admin-writes", "hand_out")

    assert "for GET, whoever" in on_get["message"], "an OwnedAdmin refuses the POST"
    assert "for POST, whoever" in on_both["message"], "what is said to read is refused nothing"
    assert "an OwnedAdmin answers it only where" in on_get["remedy"]
    assert report["looked_at"]["admin views"] == 3


def test_the_text_has_place_consequence_and_remedy(monkeypatch, capsys):
    report = Report(looked_at={"capabilities": 1, "views": 3}, not_looked_at=["a pattern"])
    report.add([Finding("note-of-it", "note", "a.py:1", "It is so.", "nothing to do", "likely")])
    report.add([Finding("fault-of-it", "error", "b.py:2", "It fails.", "mend it")])
    monkeypatch.setattr(strangler_check, "look", lambda *_, tell, dropping: report)

    with pytest.raises(CommandError, match="1 error was found") as told:
        call_command("strangler_check")

    assert told.value.returncode == 1
    assert capsys.readouterr().out == textwrap.dedent(
        """\
        ✗ fault-of-it  b.py:2
            It fails.
            → mend it
        · note-of-it (likely)  a.py:1
            It is so.
            → nothing to do
        Looked at: 1 capability, 3 views
        Not looked at: a pattern
        1 error, 0 warnings, 1 note
        """
    )


def test_what_takes_long_says_what_it_looks_at(monkeypatch, capsys):
    monkeypatch.setattr(strangler_check, "look", lambda *_, tell, dropping: (tell("views and routes"), Report())[1])
    call_command("strangler_check")
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(strangler_check, "TELL_AFTER_SECONDS", 0.0)
    call_command("strangler_check")

    assert capsys.readouterr().err == "looking at views and routes\n"


def test_without_an_error_it_ends_with_0(monkeypatch, capsys):
    monkeypatch.setattr(strangler_check, "look", lambda *_, tell, dropping: Report())

    call_command("strangler_check", "--json")

    assert json.loads(capsys.readouterr().out)["ready"] is True


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "cannot be read"),
        ("[capabilities", "is not TOML"),
        ("", "names no capability"),
        ("capabilities = 1", "is not a table"),
        ("[capabilities.billing]\ntables = 1\nroutes = []", "tables: is not a list of names"),
        ("[capabilities.billing]\ntables = ['a']", "routes: is not a list"),
        ("[capabilities.billing]\ntables = ['a']\nroutes = ['/x']", "'/x' is not a route"),
        ("[capabilities.billing]\ntables = ['a']\nroutes = []", "no model of this project"),
    ],
)
def test_a_bad_file_is_told_with_its_place(tmp_path, capsys, text, part):
    file = tmp_path / "moves.toml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(CommandError, match=re.escape(part)) as told:
        call_command("strangler_check", "--json", "--config", str(file))

    assert told.value.returncode == 2
    assert "→" in str(told.value)
    refusal = json.loads(capsys.readouterr().out)
    assert refusal["ready"] is False
    assert [one["id"] for one in refusal["findings"]] == ["cannot-look"]


@pytest.mark.parametrize(
    ("name", "part"), [("biling", "did you mean 'billing'?"), ("payroll", "no model of this project has one of them")]
)
def test_a_capability_that_cannot_be_looked_at_is_refused(name, part):
    with pytest.raises(CommandError, match=re.escape(part)) as told:
        call_command("strangler_check", name, config=PROJECT / "strangler.toml")

    assert told.value.returncode == 2


def test_the_file_is_found_upwards_and_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("STRANGLER_CONFIG", raising=False)
    monkeypatch.chdir(PROJECT / "lending")
    upwards = configuration.load().path

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is neither in .* nor above it"):
        configuration.load()
    monkeypatch.setenv("STRANGLER_CONFIG", str(PROJECT / "strangler.toml"))

    assert upwards == configuration.load().path == PROJECT / "strangler.toml"


def test_a_project_that_cannot_be_imported_is_named(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from inspected.settings import *\nROOT_URLCONF = 'nowhere_at_all'\n",
    )

    told = check(DJANGO_SETTINGS_MODULE="broken", PYTHONPATH=f"{HERE}:{tmp_path}")

    assert told.returncode == 2
    assert "settings.ROOT_URLCONF (nowhere_at_all): cannot be imported: ModuleNotFoundError" in told.stderr


def test_a_project_without_a_database_cannot_be_looked_at(monkeypatch):
    monkeypatch.setattr("chassis.inspection.look.settings", SimpleNamespace(DATABASES={}))

    with pytest.raises(ConfigurationError, match="the project has no default database"):
        look([], PROJECT / "strangler.toml")


def test_what_it_cannot_read_is_an_error_and_hides_no_finding(monkeypatch):
    def fails(project):
        yield Finding("seen", "note", "a.py:1", "Before.", "nothing to do")
        raise ValueError("a strange decorator")

    monkeypatch.delenv("STRANGLER_DEBUG", raising=False)
    monkeypatch.setattr("chassis.inspection.look._LOOKS", {"this": fails})
    monkeypatch.setattr("chassis.inspection.look._present", lambda *_: ([], []))

    report = look([], PROJECT / "strangler.toml")

    assert [one.id for one in report.findings] == ["cannot-look", "seen"]
    assert "ValueError: a strange decorator" in report.findings[0].message
    assert not report.ready


def test_a_project_whose_accounts_move_hears_of_its_logins(tmp_path):
    (tmp_path / "moves.toml").write_text(
        '[capabilities.accounts]\ntables = ["auth_user"]\nroutes = ["* /api/invoices"]\n'
    )

    report = json.loads(check("--json", config=str(tmp_path / "moves.toml")).stdout)

    assert (
        "django.contrib.auth.models.update_last_login" in finding(report, "signal-writes", "user_logged_in")["message"]
    )
    assert finding(report, "admin-writes", "auth.User")["severity"] == "error"
    cascades = [one["message"] for one in report["findings"] if one["id"] == "cascade-from-outside"]
    assert not cascades, "what points at accounts is nothing that accounts point at"
