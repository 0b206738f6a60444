"""One file for a laptop and a cluster: the environment gives addresses, or leaves them to the local stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangler.adapters import toml
from strangler.domain.errors import ConfigurationError
from strangler.domain.project import Database, Gateway, Project

FILE = """
[project]
name = "depot"
ledger = "old"
monolith = "web"

[gateway]
port = 8080
address_env = "GATEWAY"
admin_env = "ADMIN"

[databases.old]
embedded = true
url_env = "OLD"

[databases.new]
embedded = true
url_env = "NEW"
replication_url_env = "NEW_INSIDE"

[processes.web]
directory = "."
command = ["serve"]
http = true
address_env = "WEB"

[processes.worker]
directory = "."
command = ["work"]

[broker]
embedded = true
url_env = "BROKER"
"""

ELSEWHERE = {
    "GATEWAY": "http://gateway",
    "ADMIN": "http://gateway:9901",
    "OLD": "postgresql://old",
    "NEW": "postgresql://new",
    "NEW_INSIDE": "postgresql://inside",
    "WEB": "http://web:8000",
    "BROKER": "amqp://broker",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "strangler.toml"
    path.write_text(FILE)
    return path


def set_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)


def is_elsewhere(project: Project) -> bool:
    return (
        [each.url for each in project.databases.values()] == ["postgresql://old", "postgresql://new"]
        and not any(each.embedded for each in project.databases.values())
        and project.processes["web"].address == "http://web:8000"
        and project.gateway == Gateway(port=8080, address="http://gateway", admin="http://gateway:9901")
        and project.broker_url == "amqp://broker"
    )


def test_where_no_variable_is_set_the_local_stack_runs_everything(file: Path) -> None:
    project = toml.load(file)

    assert project.databases["old"] == Database("old", embedded=True, variable="OLD")
    assert project.databases["new"] == Database("new", embedded=True, variable="NEW")
    assert (project.processes["web"].command, project.processes["web"].address) == (["serve"], None)
    assert project.gateway == Gateway(port=8080)
    assert project.broker_url is None


def test_where_variables_are_set_it_runs_elsewhere(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch)

    project = toml.load(file)

    assert is_elsewhere(project)
    assert project.databases["new"].replication_url == "postgresql://inside"
    assert project.processes["web"].command == ()
    assert project.processes["worker"].command == ["work"]


def test_a_file_may_hold_what_the_variable_would(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ELSEWHERE.items():
        (tmp_path / name).write_text(f"{value}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))

    assert is_elsewhere(toml.load(file))


def test_each_variable_speaks_for_itself(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "postgresql://old")

    project = toml.load(file)

    assert project.databases["old"] == Database("old", url="postgresql://old", variable="OLD")
    assert project.databases["new"].embedded


def test_an_empty_variable_counts_as_unset(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "")
    monkeypatch.setenv("WEB_FILE", "")

    project = toml.load(file)

    assert project.databases["old"].embedded
    assert project.processes["web"].command


def test_where_the_other_server_finds_it_is_needed_only_where_it_is_elsewhere(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW", "postgresql://new")

    with pytest.raises(ConfigurationError, match="NEW_INSIDE is not set"):
        toml.load(file)


def test_a_gateway_elsewhere_need_not_show_its_admin(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "http://gateway")

    assert toml.load(file).gateway == Gateway(port=8080, address="http://gateway")


def test_paths_are_written_behind_an_address(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "http://gateway:80/")

    assert toml.load(file).gateway.address == "http://gateway:80"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OLD": "postgresql://old", "OLD_FILE": "{file}"}, "OLD and OLD_FILE are both set"),
        ({"OLD_FILE": "{folder}/nowhere"}, "which OLD_FILE names, cannot be read"),
        ({"OLD_FILE": "{folder}/empty"}, "which OLD_FILE names, is empty"),
    ],
)
def test_what_is_wrong_with_a_variable_is_told(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(file=file, folder=tmp_path))

    with pytest.raises(ConfigurationError, match=message) as caught:
        toml.load(file)

    assert caught.value.place == "strangler.toml: databases.old.url_env"
    assert caught.value.remedy


def with_hops(file: Path) -> None:
    file.write_text(FILE.replace("port = 8080", 'port = 8080\ntrusted_hops_env = "HOPS"'))


@pytest.mark.parametrize(("held", "hops"), [(None, 0), ("", 0), ("0", 0), ("1", 1), ("10", 10)])
def test_the_environment_may_say_how_many_proxies_are_in_front(
    file: Path, monkeypatch: pytest.MonkeyPatch, held: str | None, hops: int
) -> None:
    with_hops(file)
    if held is not None:
        monkeypatch.setenv("HOPS", held)

    assert toml.load(file).gateway == Gateway(port=8080, trusted_hops=hops)
    assert toml.load(file, addresses=False).gateway.trusted_hops == 0


@pytest.mark.parametrize(("held", "telling"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_the_environment_may_say_that_answers_tell_their_side(
    file: Path, monkeypatch: pytest.MonkeyPatch, held: str | None, telling: bool
) -> None:
    file.write_text(FILE.replace("port = 8080", 'port = 8080\ntell_sides_env = "TELLING"'))
    if held is not None:
        monkeypatch.setenv("TELLING", held)

    assert toml.load(file).gateway == Gateway(port=8080, tell_sides=telling)


@pytest.mark.parametrize("held", ["-1", "11", "1.5", "one", "\u0661", "9" * 5000])
def test_a_number_of_proxies_that_cannot_be_is_told(file: Path, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    with_hops(file)
    monkeypatch.setenv("HOPS", held)

    with pytest.raises(ConfigurationError, match="HOPS holds") as caught:
        toml.load(file)

    assert caught.value.place == "strangler.toml: gateway.trusted_hops_env"
    assert "from 0 to 10" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_addresses_need_not_be_known_to_read_the_rest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(FILE.replace("embedded = true", "").replace('command = ["serve"]', ""))
    monkeypatch.setenv("OLD_FILE", "/nowhere")

    project = toml.load(file, addresses=False)

    assert [each.variable for each in project.databases.values()] == ["OLD", "NEW"]
    assert project.broker_variable == "BROKER"
