"""Secrets of a cluster, made through a server that behaves like its API."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from api import Api, certificates, serving
from strangler.adapters import toml
from strangler.adapters.secrets import cluster, fresh
from strangler.domain.credentials import Credential, Hosts, credentials
from strangler.domain.errors import ConfigurationError, RefusedError
from vault import NAMES, file, strangler

ALL = {name.replace("_", "-"): keys for name, keys in NAMES.items()}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    file(tmp_path)
    with serving(tmp_path / "api") as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made


def wanted(folder: Path) -> list[Credential]:
    return credentials(toml.load(folder / "strangler.toml", addresses=False), Hosts(), fresh.make, fresh.public_key)


def create(api: Api, folder: Path) -> list[str]:
    return list(cluster.here(api.account).create(wanted(folder)))


def values(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value, validate=True).decode() for key, value in secret["data"].items()}


def test_a_secret_is_created_for_each(api: Api, tmp_path: Path) -> None:
    assert create(api, tmp_path) == list(ALL)

    assert {name: set(secret["data"]) for name, secret in api.secrets.items()} == ALL
    assert {secret["type"] for secret in api.secrets.values()} == {"Opaque"}
    access = values(api.secrets["database-old"])
    assert access["url"] == f"postgresql://owner:{access['password']}@postgres-old:5432/old"
    assert values(api.secrets["application"])["TOKEN_KEY_FILE"].startswith("-----BEGIN PRIVATE KEY-----")


def test_those_that_are_there_are_left_as_they_are(api: Api, tmp_path: Path) -> None:
    own = {"metadata": {"name": "database-old"}, "data": {"password": "bWluZQ=="}}
    api.secrets["database-old"] = own

    assert create(api, tmp_path) == [name for name in ALL if name != "database-old"]
    before = dict(api.secrets)
    api.requests.clear()

    assert create(api, tmp_path) == []

    assert api.secrets == before
    assert api.secrets["database-old"] is own
    assert not [request for request in api.requests if not request.startswith("GET ")]


def test_one_that_somebody_else_has_just_created_is_fine(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(api, tmp_path)
    before = dict(api.secrets)
    monkeypatch.setattr(cluster.Cluster, "_exists", lambda *_: False)

    assert create(api, tmp_path) == []

    assert api.secrets == before


@pytest.mark.parametrize("lacking", ["get", "create"])
def test_an_account_without_rights_is_told_which(api: Api, tmp_path: Path, lacking: str) -> None:
    api.verbs.discard(lacking)

    with pytest.raises(RefusedError, match=f"403: secrets is forbidden.* cannot {lacking}") as caught:
        create(api, tmp_path)

    assert caught.value.place.endswith("/api/v1/namespaces/depot/secrets/application")
    assert "Role" in caught.value.remedy
    assert api.secrets == {}


def test_a_namespace_that_is_not_there_is_told(api: Api, tmp_path: Path) -> None:
    (api.account / "namespace").write_text("nowhere\n")

    with pytest.raises(RefusedError, match='404: namespaces "nowhere" not found'):
        create(api, tmp_path)


def test_a_busy_api_is_asked_again(api: Api, tmp_path: Path) -> None:
    api.answers_first = [429, 503]

    assert create(api, tmp_path) == list(ALL)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "TRIES", urllib3.Retry(total=1))


@pytest.mark.usefixtures("impatient")
def test_an_api_that_the_authority_does_not_know_gets_no_token(api: Api, tmp_path: Path) -> None:
    other, _ = certificates(tmp_path / "other")
    (api.account / "ca.crt").write_text(other.read_text())

    with pytest.raises(RefusedError, match=r"is not the cluster.s API.*certificate verify failed") as caught:
        create(api, tmp_path)

    assert api.requests == []
    assert str(api.account / "ca.crt") in caught.value.remedy


@pytest.mark.usefixtures("impatient")
def test_an_authority_that_is_no_certificate_is_told(api: Api, tmp_path: Path) -> None:
    (api.account / "ca.crt").write_text("none")

    with pytest.raises(ConfigurationError, match="holds no certificates") as caught:
        create(api, tmp_path)

    assert caught.value.place == str(api.account / "ca.crt")


def test_an_authority_that_says_little_of_itself_will_do(api: Api) -> None:
    """The authority above is such a one; Python before 3.13 is not strict with it anyway."""
    context = cluster.Cluster("https://127.0.0.1:1", api.account)._context()

    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.usefixtures("impatient")
def test_an_api_that_cannot_be_reached_is_told(api: Api, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not answer") as caught:
        list(cluster.Cluster("https://127.0.0.1:1", api.account).create(wanted(tmp_path)))

    assert "NetworkPolicy" in caught.value.remedy


def test_a_pod_without_a_token_is_told(api: Api, tmp_path: Path) -> None:
    (api.account / "token").unlink()

    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        create(api, tmp_path)

    assert "automountServiceAccountToken" in caught.value.remedy


def test_outside_of_a_cluster_it_says_so(tmp_path: Path) -> None:
    file(tmp_path)

    done = strangler(tmp_path, "secrets", "--kubernetes", KUBERNETES_SERVICE_HOST="")

    assert done.returncode == 2
    assert "this is no pod of a cluster" in done.stderr
