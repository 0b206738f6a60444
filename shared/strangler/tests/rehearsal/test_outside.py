"""The small adapters: verbs, the gateway's counters, and the lines that a person sees."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from strangler.cli.main import main
from strangler.cli.narrator import Narrator
from strangler.domain.errors import StackError
from strangler.rehearsal.adapters.bounces import EnvoyBounces
from strangler.rehearsal.adapters.verbs import CommandLine
from strangler.rehearsal.ports import Totals


class Admin(BaseHTTPRequestHandler):
    """Says of two clusters how many requests were redirected."""

    def do_GET(self) -> None:
        stats = [{"name": f"cluster.{name}.redirects", "value": value} for name, value in (("a", 3), ("b", 4))]
        body = json.dumps({"stats": stats}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_bounces_are_summed_over_clusters(admin: str) -> None:
    assert EnvoyBounces(admin).count() == 7


def test_of_a_gateway_whose_admin_is_not_named_nothing_is_known() -> None:
    assert EnvoyBounces("").count() is None


def test_a_gateway_that_does_not_answer_is_an_error_with_a_remedy() -> None:
    with pytest.raises(StackError, match="strangler status"):
        EnvoyBounces("http://127.0.0.1:9").count()


def test_a_verb_runs_as_a_program_of_its_own_and_is_logged(tmp_path: Path) -> None:
    said: list[str] = []
    verbs = CommandLine(tmp_path / "strangler.toml", tmp_path / "var", listen=said.append)

    ran = verbs.run("env", within=60)

    assert (ran.code, ran.answer["ready"]) == (2, False)
    assert "strangler.toml" in ran.errors
    assert ran.began < ran.ended
    assert said[0].startswith("$ strangler env (exit code 2)")


def test_a_verb_that_does_not_end_is_ended(tmp_path: Path) -> None:
    ran = CommandLine(tmp_path / "strangler.toml", tmp_path / "var", listen=lambda _: None).run("env", within=0.001)

    assert (ran.code, ran.errors) == (124, "did not end within 0 s")


def test_each_phase_ends_with_a_line_of_its_figures() -> None:
    out = io.StringIO()
    totals = Totals(requests=12, failed=1, acknowledged={"notes": 5, "books": 2})

    with Narrator(out, began=time.monotonic(), totals=lambda: totals) as narrator:
        narrator.say("start notes")
        narrator.say("switch notes")

    first, second = out.getvalue().splitlines()
    assert "start notes" in first
    assert "12 requests" in first
    assert "7 writes" in second
    assert "1 failed" in second


def test_a_project_without_a_file_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STRANGLER_CONFIG", raising=False)

    result = CliRunner().invoke(main, ["rehearse"])

    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_a_script_with_a_mistake_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = next(parent for parent in Path(__file__).parents if (parent / "strangler.toml").exists())
    monkeypatch.setenv("STRANGLER_CONFIG", str(repository / "strangler.toml"))
    script = tmp_path / "night.txt"
    script.write_text("dance\n")

    result = CliRunner().invoke(main, ["rehearse", "--script", str(script)])

    assert result.exit_code == 2
    assert "night.txt:1: no such step: dance" in result.output
