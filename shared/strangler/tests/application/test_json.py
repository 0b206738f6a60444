"""What each verb prints with ``--json`` is what docs/reference/json.schema.json says, refusals too."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from moves import NAME, PROJECT, READY, beating, moving, parts_of
from strangler import configuration
from strangler.adapters import toml
from strangler.adapters.postgres import faults
from strangler.application.sides import Parts
from strangler.cli import doctor, rehearse, retire
from strangler.cli.main import VERBS, main
from strangler.domain.errors import RefusedError
from strangler.domain.findings import Finding, Severity
from strangler.domain.project import MONOLITH, SERVICE, Endpoints
from strangler.rehearsal.conduct import Change
from strangler.rehearsal.journal import Records
from strangler.rehearsal.report import Evidence
from strangler.rehearsal.selftest import SelfTest
from strangler.stack import retirement, state
from strangler.testing import World

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "json.schema.json"
SCHEMA: dict[str, Any] = json.loads(PAGE.read_text())
ENDPOINTS = Endpoints("http://gate", "http://admin", "amqp://broker", {"yard": "a"}, {"office": "http://office"})
POINTING = Finding("foreign-key-out", Severity.ERROR, "there", "a key to nothing", "run `strangler start parents`")
NO_JSON = {"manage", "up", "down", "secrets", "serve", "agent", "render"}


class Nothing:
    """A look at databases that have nothing left over."""

    def __init__(self, *_: object) -> None: ...

    def leavings(self, known: set[str]) -> list[tuple[str, str]]:
        return []

    def retained(self) -> list[tuple[str, str]]:
        return [("yard", "a slot has no reader")]

    def sequences_behind(self, capability: str, owner: str) -> list[tuple[str, str]]:
        return []

    def unplaced(self) -> list[str]:
        return ["stray"]

    def strays(self, capability: str) -> list[object]:
        return []

    def close(self) -> None: ...


class Yard:
    """Runs commands on a move in memory."""

    def __init__(self) -> None:
        self.world = World()
        for _ in range(3):
            self.world.write(MONOLITH)
        self.parts = parts_of(self.world)

    def run(self, *words: str, code: int = 0, shape: str = "") -> dict[str, Any]:
        """The output, which has the shape, and nothing but what the schema names."""
        done = CliRunner().invoke(main, [*words, "--json"])
        assert done.exit_code == code, done.output
        answer: dict[str, Any] = json.loads(done.stdout)
        shape = shape or ("refusal" if code == 2 else words[0])
        jsonschema.validate(answer, SCHEMA)
        jsonschema.validate(answer, {"$ref": f"#/$defs/{shape}", "$defs": SCHEMA["$defs"]})
        assert unnamed(answer, {"$ref": f"#/$defs/{shape}"}) == []
        return answer


def unnamed(value: Any, schema: Any, place: str = "") -> list[str]:
    """The keys that the schema does not name, however deep."""
    if isinstance(value, list):
        return [each for one in value for each in unnamed(one, schema.get("items", {}), f"{place}[]")]
    if not isinstance(value, dict):
        return []
    named, others = properties(schema)
    found = [f"{place}.{key}" for key in value if key not in named and others is None]
    return found + [
        each for key, one in value.items() for each in unnamed(one, named.get(key, others), f"{place}.{key}")
    ]


def properties(schema: Any) -> tuple[dict[str, Any], Any]:
    """By name, and for all other names."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    named: dict[str, Any] = {}
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        named |= properties(part)[0]
    # A part may say more of a key that another one has described.
    described = {name: {**named.get(name, {}), **one} for name, one in schema.get("properties", {}).items()}
    return named | described, schema.get("additionalProperties")


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Yard:
    made = Yard()
    project = replace(PROJECT, state=tmp_path)

    @contextmanager
    def parts(name: str, **_: object) -> Iterator[Parts]:
        configuration.capability(project, name)
        yield made.parts

    monkeypatch.setattr(toml, "load", lambda **_: project)
    monkeypatch.setattr(configuration, "parts", parts)
    monkeypatch.setattr(configuration, "parts_of", lambda *_: made.parts)
    monkeypatch.setattr(configuration, "readiness", lambda *_: READY)
    monkeypatch.setattr(state, "endpoints", lambda _: ENDPOINTS)
    monkeypatch.setattr(doctor, "PostgresExamination", Nothing)
    monkeypatch.setattr(retirement, "run_here", lambda *_: [])
    monkeypatch.setattr(retire, "processes", lambda _: [])
    return made


def test_every_verb_of_a_move_that_goes_well(yard: Yard) -> None:
    assert yard.run("status")["capabilities"][NAME]["phase"] == "not started"
    assert yard.run("preflight")["next"] == [f"strangler start {NAME}"]
    yard.parts.replication.warnings.append("a loose reference")
    assert yard.run("start", NAME)["findings"][0]["severity"] == "note"
    assert yard.run("preflight", NAME)["capabilities"][NAME]["begun"]
    yard.run("verify", NAME)
    beating(yard.parts)
    assert yard.run("canary", NAME, "10", "--dry-run")["next"] == [f"strangler canary {NAME} 10"]
    assert yard.run("canary", NAME, "10")["weight"] == 10
    assert yard.run("status")["capabilities"][NAME]["canary"] == {"weight": 10, "on": True}
    assert yard.run("canary", NAME, "101", code=2)["findings"][0]["id"] == "usage"
    assert yard.run("switch", NAME, "--dry-run", shape="dry-run")["next"] == [f"strangler switch {NAME}"]
    assert yard.run("switch", NAME, "--yes")["owner"] == SERVICE
    assert yard.run("status")["ready"]
    yard.world.relay(MONOLITH)
    assert yard.run("reverse", NAME, "--yes", shape="switch")["owner"] == MONOLITH
    assert yard.run("cancel", NAME, "--yes")["next"] == []


def test_the_end_of_a_move(yard: Yard) -> None:
    yard.world = moving(SERVICE)
    yard.parts = parts_of(yard.world)
    yard.parts.replication.referring.append("audit.crate")

    assert yard.run("complete", NAME, "--yes")["seams"] == ["audit.crate"]
    yard.parts.replication.referring.clear()
    assert f"strangler complete {NAME} --drop" in yard.run("status")["next"]
    yard.world.relay(MONOLITH)
    assert yard.run("retire", "--yes")["stopped"] == []


def test_what_differs_or_is_not_as_it_should_be(yard: Yard) -> None:
    yard.world = moving()
    yard.parts = parts_of(yard.world)
    yard.parts.replication.differing.append("crate (3): differs in label")

    assert yard.run("verify", NAME, code=1, shape="verify")["next"] == [f"strangler verify {NAME} --repair"]
    assert yard.run("canary", NAME, "1", "--dry-run", code=2, shape="canary")["findings"][0]["id"] == "gate-verify"
    shut = yard.run("switch", NAME, "--dry-run", code=2, shape="dry-run")
    assert ([one["id"] for one in shut["findings"]], shut["ready"]) == (["gate-verify"], False)
    found = yard.run("doctor", code=1, shape="doctor")["findings"]
    assert {one["id"] for one in found} == {"wal", "unplaced"}
    assert all(one["remedy"] and "hint" not in one for one in found)
    forward = yard.parts.replication.running["forward"]
    yard.parts.replication.running["forward"] = replace(forward, exists=True, lost=True, active=False)
    assert yard.run("status")["findings"][0]["id"] == "problem"
    assert yard.run("resync", NAME)["streams"] == ["forward"]


def test_what_is_refused(yard: Yard) -> None:
    yard.parts.replication.pointing.append(POINTING)
    looked = yard.run("preflight", code=2, shape="preflight")
    assert looked["next"] == ["strangler start parents", f"strangler preflight {NAME}"]
    assert yard.run("start", NAME, code=2)["findings"][0]["id"] == "foreign-key-out"
    assert yard.run("cancel", NAME, code=2)["findings"][0]["id"] == "move-state"
    assert yard.run("verify", "crate", code=2)["findings"][0]["id"] == "unknown-name"
    assert yard.run("start", code=2)["findings"][0]["id"] == "usage"
    yard.world = moving()
    yard.parts = parts_of(yard.world)
    yard.parts.replication.drifted.append("crate has another column")
    (drift,) = yard.run("verify", NAME, code=2)["findings"]
    assert drift["id"] == "tables-differ"
    assert [one["id"] for one in yard.run("switch", NAME, "--yes", code=2)["findings"]] == ["gate-columns"]


def test_where_everything_is(yard: Yard) -> None:
    assert yard.run("env")["gateway"] == "http://gate"


def test_faults(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    on: dict[str, Mapping[str, Any]] = {}
    monkeypatch.setenv("STRANGLER_FAULTS", "1")
    monkeypatch.setattr(faults, "present", lambda _: on)
    monkeypatch.setattr(faults, "switch_on", lambda _, name, told, __: on.update({name: told}))
    monkeypatch.setattr(faults, "switch_off", lambda _, name: {name} if on.pop(name, None) else set())
    databases = defaultdict[str, str](lambda: "a")
    monkeypatch.setattr(state, "endpoints", lambda _: replace(ENDPOINTS, databases=databases))

    told = yard.run("fault", "on", "raising-handler", "--capability", NAME, "--where", "number=7")

    assert told["settings"] == {"capability": NAME, "field": "number", "value": "7"}
    assert [each["name"] for each in yard.run("fault", "list")["faults"] if each["on"]] == ["raising-handler"]
    assert yard.run("fault", "off", "raising-handler")["off"] == ["raising-handler"]
    yard.run("fault", "on", "nonsense", code=2)


@pytest.mark.parametrize("failing", [False, True])
def test_a_rehearsal(yard: Yard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: bool) -> None:
    change = Change(NAME, "switch", 12.5, 1, 3, 0, 1, 0, 1)
    evidence = Evidence(
        1.0, 10, Records((), ()), [], [change], [NAME], {}, {NAME: SERVICE}, "amqp", "there", SelfTest(("a",) * 3, ()),
        ["a verb failed"] if failing else [], 0,
    )  # fmt: skip
    monkeypatch.setattr(rehearse, "_rehearse", lambda *_: evidence)
    monkeypatch.setattr(rehearse, "_present", lambda _: {})
    monkeypatch.setattr(rehearse.staging, "require_scenario", lambda _: "scenario")

    told = yard.run("rehearse", "--report", str(tmp_path / "report.json"), code=int(failing), shape="rehearse")

    assert told["ready"] is told["ok"] is not failing


def test_every_verb_that_prints_json_is_looked_at_here() -> None:
    printing = {
        name
        for name in VERBS
        if (command := main.get_command(None, name))  # type: ignore[arg-type]
        and any(
            "--json" in one.opts
            for each in (command, *getattr(command, "commands", {}).values())
            for one in each.params
        )
    }
    assert printing == set(VERBS) - NO_JSON
    assert printing - {"reverse"} == SCHEMA["$defs"].keys() & set(VERBS)


@pytest.mark.parametrize("verb", ["start", "switch", "resync", "complete", "cancel", "retire"])
def test_what_fails_after_something_was_changed_is_no_refusal(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Exit code 2 says that nothing was changed, whatever class the error has."""
    if verb != "start":
        yard.world = moving(SERVICE if verb in ("complete", "retire") else MONOLITH)
        yard.parts = parts_of(yard.world)
    if verb == "resync":
        forward = yard.parts.replication.running["forward"]
        yard.parts.replication.running["forward"] = replace(forward, lost=True)
    if verb == "retire":
        yard.run("complete", NAME, "--yes")
        yard.world.relay(MONOLITH)
    acts = {
        "start": (yard.parts.replication, "stream_forward"),
        "switch": (yard.parts.service, "prepare"),
        "resync": (yard.parts.replication, "renew"),
        "complete": (yard.parts.replication, "drop_old"),
        "cancel": (yard.parts.replication, "remove"),
        "retire": (yard.parts.replication, "end_reverse"),
    }

    def fail(*_: object, **__: object) -> None:
        raise RefusedError("it may not", place="there", remedy="grant it")

    monkeypatch.setattr(*acts[verb], fail)
    words = {"complete": ["--drop", "--unused-for", "0s", "--yes"], "resync": [], "start": []}.get(verb, ["--yes"])
    name = [] if verb == "retire" else [NAME]

    refused = yard.run(verb, *name, *words, code=1, shape="refusal")

    assert refused["findings"][0]["message"] == "it may not"
