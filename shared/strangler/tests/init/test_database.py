"""What a real database adds: tables without a model, a project of which only the catalog is known, and a preflight."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects_asked import Asked
from servers import Cluster

LEGACY = """
CREATE TABLE legacy_bill (id bigint PRIMARY KEY, work uuid REFERENCES works_work (id));
"""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, clusters: tuple[Cluster, Cluster]) -> Iterator[Asked]:
    """The project with a database that has its tables, and one that no model has; and an empty one for a service."""
    one, two = clusters
    one.create("guild")
    two.create("guild_works")
    project = Asked.copied(tmp_path_factory.mktemp("migrated"))
    project.environment = {"DATABASE_URL": _url(one, "guild")}
    for app in ("stamps", "members", "fairs", "works"):
        (project.folder / "migrations" / app).mkdir(parents=True)
        (project.folder / "migrations" / app / "__init__.py").touch()
    modules = {app: f"migrations.{app}" for app in ("stamps", "members", "fairs", "works")}
    project.add("guild/settings.py", f"MIGRATION_MODULES = {modules!r}\n")
    for words in (("makemigrations",), ("migrate",)):
        done = project.manage(*words)
        assert done.returncode == 0, done.stderr
    with one.connect("guild") as connection:
        connection.execute(LEGACY)
    yield project
    one.drop("guild")
    two.drop("guild_works")


def _url(cluster: Cluster, database: str) -> str:
    given = dict(pair.split("=", 1) for pair in cluster.dsn(database).replace("'", "").split())
    login = given["user"] + (f":{given['password']}" if "password" in given else "")
    return f"postgresql://{login}@{given['host']}:{given['port']}/{database}"


def test_tables_that_no_model_has_stay_and_refer(migrated: Asked, clusters: tuple[Cluster, Cluster]) -> None:
    shown = migrated.strangler("init", "--print", "--database", _url(clusters[0], "guild"))

    file = tomllib.loads(shown.stdout)
    assert '"legacy_bill",  # no model has it' in shown.stdout
    assert {"table": "legacy_bill", "column": "work"} in file["capabilities"]["works"]["references"]


def test_the_catalog_alone_gives_tables_and_foreign_keys(
    tmp_path: Path, migrated: Asked, clusters: tuple[Cluster, Cluster]
) -> None:
    project = Asked(tmp_path)

    done = project.strangler("init", "--database", _url(clusters[0], "guild"), "--json")

    file, told = tomllib.loads(project.file.read_text()), json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (told["whole"], told["ready"]) == (False, False)
    # The tool says itself why it does not take the file yet: nobody knows the routes.
    ((place, message),) = [(one["place"], one["message"]) for one in told["findings"]]
    assert (place.rpartition(".")[2], message) == ("routes", "is empty")
    assert {name: sorted(each["tables"]) for name, each in file["capabilities"].items()} == {
        "fairs": ["fairs_entry", "fairs_fair"],
        "legacy": ["legacy_bill"],
        "members": ["members_member"],
        "stamps": ["stamps_stamp"],
        "works": ["works_remark", "works_work", "works_work_judges"],
    }
    assert {"auth_*", "django_*", "members_member_groups"} <= {*file["stays"]["tables"]}
    assert {"table": "works_work", "column": "best_at_id"} in file["capabilities"]["fairs"]["references"]
    assert "no manage.py here" in done.stderr
    assert "Only the database was asked" in project.file.read_text()


def test_a_role_that_may_read_no_table_is_enough(
    tmp_path: Path, migrated: Asked, clusters: tuple[Cluster, Cluster]
) -> None:
    with clusters[0].connect("guild") as connection:
        connection.execute("CREATE ROLE onlooker LOGIN PASSWORD 'onlooker'")
    address = _url(clusters[0], "guild").replace("//postgres:secret@", "//onlooker:onlooker@")
    try:
        shown = Asked(tmp_path).strangler("init", "--print", "--database", address)
    finally:
        with clusters[0].connect("guild") as connection:
            connection.execute("DROP ROLE onlooker")

    assert shown.returncode == 0, shown.stderr
    assert tomllib.loads(shown.stdout)["capabilities"]["works"]["tables"]


def test_a_broken_project_is_named_and_its_database_asked(
    tmp_path: Path, migrated: Asked, clusters: tuple[Cluster, Cluster]
) -> None:
    project = Asked.copied(tmp_path)
    project.add("guild/settings.py", "import nowhere\n")

    done = project.strangler("init", "--database", _url(clusters[0], "guild"))

    assert done.returncode == 0, done.stderr
    assert "guild/settings.py" in done.stdout
    assert "No module named 'nowhere'" in project.file.read_text().replace("\n#  ", "")


def test_a_password_is_in_no_message_and_in_no_file(tmp_path: Path) -> None:
    project = Asked(tmp_path)

    done = project.strangler("init", "--database", "postgresql://me:hush@127.0.0.1:1/none")

    assert done.returncode == 2
    assert "cannot connect" in done.stderr
    assert "hush" not in done.stderr + done.stdout
    assert not project.file.exists()


def test_preflight_takes_the_file_as_it_is_and_finds_nothing_in_the_way_that_the_database_had_told(
    migrated: Asked, clusters: tuple[Cluster, Cluster]
) -> None:
    one, two = (_url(cluster, name) for cluster, name in zip(clusters, ("guild", "guild_works"), strict=True))
    assert Asked(migrated.folder, {"DATABASE_URL": two}).manage("migrate").returncode == 0
    # Those of two databases are all that have to be known for one capability.
    migrated.environment |= {"MONOLITH_DATABASE_URL": one, "WORKS_DATABASE_URL": two}

    def in_the_way(*words: str) -> set[tuple[str, str]]:
        written = migrated.strangler("init", "--force", *words)
        assert written.returncode == 0, written.stderr
        looked = json.loads(migrated.strangler("preflight", "works", "--json").stdout)
        return {(found["id"], found["message"]) for found in looked["findings"] if found["severity"] == "error"}

    assert in_the_way() == {
        ("table-without-place", "nothing says where legacy_bill belongs"),
        ("reference-not-named", "foreign keys point into works that are not named: legacy_bill.work"),
    }
    assert in_the_way("--database", one) == set()


def test_preflight_without_an_address_says_which_variables_it_lacks(migrated: Asked) -> None:
    alone = Asked(migrated.folder)
    alone.strangler("init", "--force")

    looked = alone.strangler("preflight", "works")

    assert looked.returncode == 2
    assert "set MONOLITH_DATABASE_URL and WORKS_DATABASE_URL" in looked.stderr
