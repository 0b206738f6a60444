"""Secrets as files: made once, and readable in every container that mounts the folder."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from psycopg.conninfo import conninfo_to_dict
from strangler.adapters import toml
from strangler.adapters.secrets import folder as files
from strangler.adapters.secrets import fresh
from strangler.domain.credentials import Hosts, credentials
from strangler.domain.errors import ConfigurationError
from strangler.stack import secrets
from vault import NAMES, file, strangler


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file(tmp_path)
    return tmp_path / "secrets"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def made(folder: Path) -> list[str]:
    project = toml.load(folder.parent / "strangler.toml", addresses=False)
    return list(files.write(folder, credentials(project, Hosts(), fresh.make, fresh.public_key)))


def test_a_folder_a_secret_and_a_file_a_key(folder: Path) -> None:
    done = strangler(folder.parent, "secrets", "--to", str(folder))

    assert done.returncode == 0, done.stderr
    assert {path.name: {key.name for key in path.iterdir()} for path in folder.iterdir()} == NAMES
    assert "made database-old/url" in done.stdout
    password = (folder / "database-old/password").read_text()
    assert len(password) > 40
    assert password not in done.stdout


def test_what_the_files_hold_fits_together(folder: Path) -> None:
    made(folder)
    found = contents(folder)

    assert conninfo_to_dict(found["database-new_one/url"]) == {
        "user": "owner",
        "password": found["database-new_one/password"],
        "host": "postgres-new_one",
        "port": "5432",
        "dbname": "new_one",
    }
    password = found["broker/password"]
    assert found["broker/url"] == f"amqp://owner:{password}@rabbitmq:5672//"
    assert found["broker/rabbitmq.conf"] == f"default_user = owner\ndefault_pass = {password}\n"
    key = load_pem_private_key(found["application/TOKEN_KEY_FILE"].encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    passwords = [value for name, value in found.items() if name.endswith(("password", "SECRET_KEY", "SHARED"))]
    # The superuser's, application's and tool's of each database, the agents', the broker's three, each service's
    # SECRET_KEY, and SHARED.
    assert len(set(passwords)) == 6 + 1 + 3 + 3 + 1
    assert [found[f"{role}-old/username"] for role in ("database", "app", "mover", "agent")] == [
        "owner",
        "app",
        "mover",
        "agent",
    ]
    own = load_pem_private_key(found["service-old/SERVICE_KEY_FILE"].encode(), None)
    public = load_pem_public_key(found["service-old/SERVICE_KEY_FILE.pub"].encode())
    assert own.public_key() == public
    assert found["service-old/SERVICE_KEY_FILE"] != found["service-new_one/SERVICE_KEY_FILE"]


def test_hosts_can_be_others(folder: Path) -> None:
    strangler(folder.parent, "secrets", "--to", str(folder), "--database-host", "{name}.db", "--broker-host", "mq")

    assert "@old.db:5432/old" in (folder / "database-old/url").read_text()
    assert (folder / "broker/url").read_text().endswith("@mq:5672//")


def test_a_second_run_changes_nothing(folder: Path) -> None:
    strangler(folder.parent, "secrets", "--to", str(folder))
    before = contents(folder)

    done = strangler(folder.parent, "secrets", "--to", str(folder))

    assert (done.returncode, done.stdout) == (0, "nothing to make: all secrets are there\n")
    assert contents(folder) == before


@pytest.mark.parametrize(
    "gone", ["application/SHARED", "service-old/SECRET_KEY", "database-old/url", "broker/rabbitmq.conf"]
)
def test_what_is_missing_is_made_to_fit_what_is_there(folder: Path, gone: str) -> None:
    made(folder)
    before = contents(folder)
    (folder / gone).unlink()

    assert made(folder) == [gone]

    after = contents(folder)
    assert {**after, gone: None} == {**before, gone: None}
    assert (after[gone] == before[gone]) == (not gone.endswith(("SHARED", "SECRET_KEY")))


def test_a_password_of_one_s_own_is_quoted_where_it_has_to_be(folder: Path) -> None:
    (folder / "database-old").mkdir(parents=True)
    (folder / "database-old/password").write_text("a/b@c {d}\n")

    made(folder)

    parts = conninfo_to_dict((folder / "database-old/url").read_text())
    assert (parts["password"], parts["host"]) == ("a/b@c {d}", "postgres-old")


def test_other_users_can_read_them_whatever_the_umask(folder: Path) -> None:
    strangler(folder.parent, "secrets", "--to", str(folder / "deep"), umask=0o077)

    for path in [folder / "deep", *(folder / "deep").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o444), path


def test_of_several_at_once_the_first_decides_and_all_fits(folder: Path) -> None:
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.extend(made(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = contents(folder)
    assert sorted(told) == sorted(found)
    assert {name.split("/")[0] for name in found} == set(NAMES)
    assert found["database-old/password"] in found["database-old/url"]
    assert found["broker/password"] in found["broker/url"]


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    folder.write_text("in the way")

    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        made(folder)

    assert caught.value.place == str(folder)


@pytest.mark.parametrize("words", [(), ("--kubernetes", "--to", "anywhere")])
def test_where_to_has_to_be_said(folder: Path, words: tuple[str, ...]) -> None:
    done = strangler(folder.parent, "secrets", *words)

    assert done.returncode == 2
    assert "give either --to or --kubernetes" in done.stderr


def handed(folder: Path) -> dict[str, str]:
    done = strangler(folder.parent, "secrets", "--to", str(folder), "--hand-out", str(folder.parent / "handed"))
    assert done.returncode == 0, done.stderr
    return contents(folder.parent / "handed")


def test_each_container_is_handed_what_it_needs_and_nothing_of_others(folder: Path) -> None:
    found = handed(folder)
    public = {"SERVICE_KEY_FILE.old.pub", "SERVICE_KEY_FILE.new_one.pub"}
    application = {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "SHARED", "SERVICE_KEY_FILE", *public}

    assert {whose: {name.partition("/")[2] for name in found if name.startswith(f"{whose}/")} for whose in HANDED} == {
        "app-old": application,
        "app-new_one": application,
        "app-window": {"SECRET_KEY", "SHARED"},
        "signing-old": {"TOKEN_KEY_FILE"},
        "postgres-old": {"username", "password", "APP_PASSWORD", "MOVER_PASSWORD", "AGENT_PASSWORD"},
        "postgres-new_one": {"username", "password", "APP_PASSWORD", "MOVER_PASSWORD"},
        "strangler": {"OLD_URL", "NEW_URL"},
        "gateway": {"OLD_URL"},
        "broker": {"username", "password", "rabbitmq.conf", *(f"definitions/{name}.json" for name in BROKER)},
        "initdb": {"roles.sh"},
    }
    assert {name.partition("/")[0] for name in found} == set(HANDED)
    kept = contents(folder)
    assert found["app-old/DATABASE_URL"] == kept["app-old/url"]
    assert found["app-old/SECRET_KEY"] != found["app-new_one/SECRET_KEY"]
    assert found["app-old/SHARED"] == found["app-new_one/SHARED"]
    assert found["strangler/NEW_URL"] == kept["mover-new_one/url"]
    assert found["gateway/OLD_URL"] == kept["agent-old/url"]
    assert found["postgres-old/password"] == kept["database-old/password"]


def test_the_gateway_is_handed_the_secret_by_which_it_knows_calls_of_services(folder: Path) -> None:
    configuration = folder.parent / "strangler.toml"
    text = configuration.read_text()
    configuration.write_text(text.replace("[secrets]\n", '[secrets]\nGATEWAY_TRACE_KEY = "text"\n'))

    found = handed(folder)

    assert found["gateway/GATEWAY_TRACE_KEY"] == found["app-old/GATEWAY_TRACE_KEY"] != ""


HANDED = (
    *("app-old", "app-new_one", "app-window", "signing-old", "postgres-old", "postgres-new_one"),
    *("strangler", "gateway", "broker", "initdb"),
)
BROKER = ("broker", "broker-old", "broker-new_one")


def test_on_a_laptop_each_service_has_its_own_texts_too(folder: Path) -> None:
    project = toml.load(folder.parent / "strangler.toml", addresses=False)
    old, new = (secrets.environment_of(project, name, folder.parent / "var") for name in ("old", "new_one"))

    assert old["SECRET_KEY"] != new["SECRET_KEY"]
    assert old["SHARED"] == new["SHARED"]
    assert old == secrets.environment_of(project, "old", folder.parent / "var")


def test_a_web_process_without_a_database_has_its_own_texts_and_no_key(folder: Path) -> None:
    project = toml.load(folder.parent / "strangler.toml", addresses=False)
    here = secrets.environment_of_front(project, "window", folder.parent / "var")
    found = handed(folder)
    there = {name.partition("/")[2]: value for name, value in found.items() if name.startswith("app-window/")}

    assert project.fronts == ["window"]
    for texts in (here, there):
        assert set(texts) == {"SECRET_KEY", "SHARED"}
    assert here["SHARED"] == secrets.environment_of(project, "old", folder.parent / "var")["SHARED"]
    assert here["SECRET_KEY"] != secrets.environment_of(project, "old", folder.parent / "var")["SECRET_KEY"]
    assert there["SECRET_KEY"] not in {found["app-old/SECRET_KEY"], found["app-new_one/SECRET_KEY"]}


def test_a_key_that_signs_is_taken_away_where_an_earlier_version_has_handed_it_out(folder: Path) -> None:
    handed(folder)
    left = folder.parent / "handed/app-old"
    (left / "TOKEN_KEY_FILE").write_text("a key")
    (left / "mine").write_text("somebody else's")

    found = handed(folder)

    assert "app-old/TOKEN_KEY_FILE" not in found
    assert found["app-old/mine"] == "somebody else's"


def test_what_was_made_before_is_kept_and_what_is_handed_out_follows_it(folder: Path) -> None:
    (folder / "database-old").mkdir(parents=True)
    (folder / "database-old/password").write_text("of an earlier version")
    before = handed(folder)
    assert before["postgres-old/password"] == "of an earlier version"
    (folder / "app-old/password").unlink()
    (folder / "app-old/url").unlink()

    after = handed(folder)

    differing = {name for name in before if after[name] != before[name]}
    assert differing == {"app-old/DATABASE_URL", "postgres-old/APP_PASSWORD"}


def test_a_service_may_use_its_own_queues_at_the_broker(folder: Path) -> None:
    found = handed(folder)
    rights = {
        name: json.loads(found[f"broker/definitions/broker-{name}.json"])["permissions"][0]
        for name in ("old", "new_one")
    }
    administrator = next(iter(json.loads(found["broker/definitions/broker.json"])[f"{kind}s"] for kind in ["user"]))[0]

    assert administrator["tags"] == ["administrator"]
    for queue in ("shelf", "shelf.dead", "shelf.tasks", "events", "celeryev", "celery_delayed_1"):
        assert re.match(rights["new_one"]["read"], queue)
        # As long as nothing has moved, the monolith has everything.
        assert re.match(rights["old"]["read"], queue)
    for queue in ("old", "old.tasks", "shelfish", "other.dead", "celery.pidbox", "celery@box.celery.pidbox", "celery"):
        assert not re.match(rights["new_one"]["read"], queue)
        assert not re.match(rights["new_one"]["configure"], queue)
        assert not re.match(rights["new_one"]["write"], queue)
    assert re.match(rights["new_one"]["write"], "amq.default")
    assert not re.match(rights["new_one"]["configure"], "amq.default")


def test_a_program_that_makes_the_roles_is_handed_out_with_no_secret_in_it(folder: Path) -> None:
    found = handed(folder)
    passwords = [value for name, value in contents(folder).items() if name.endswith("password")]

    assert not any(password in found["initdb/roles.sh"] for password in passwords)
    assert subprocess.run(["bash", "-n"], input=found["initdb/roles.sh"], text=True, check=False).returncode == 0


def test_handing_out_needs_a_folder_to_keep_in(folder: Path) -> None:
    done = strangler(folder.parent, "secrets", "--kubernetes", "--hand-out", str(folder))

    assert done.returncode == 2
    assert "--hand-out goes with --to" in done.stderr
