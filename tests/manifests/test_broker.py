"""The plain RabbitMQ: the folder of definitions that it reads at each start, laid out as a kubelet does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tests.manifests.kustomize import of_kind
from tests.manifests.workloads import Workload, workloads

OPTION = "load_definitions"


def test_the_broker_reads_nothing_but_files_of_users(
    folder: str, secrets: Mapping[str, Mapping[str, str]], tmp_path: Path
) -> None:
    """It reads whatever is in the folder, also the kubelet's own folders, and does not start if one is there."""
    for broker in (each for each in workloads(folder, "StatefulSet") if each.name == "rabbitmq"):
        projected = broker.volumes("projected")["users"]["projected"]
        [mount] = [each for each in broker.container("rabbitmq")["volumeMounts"] if each["name"] == "users"]
        _lay_out(tmp_path, {item["path"]: _content(secrets, name, item["key"]) for name, item in _items(projected)})

        read = PurePosixPath(_configured(folder, broker)).relative_to(mount["mountPath"])

        found = sorted((tmp_path / read).iterdir())
        assert all(each.is_file() for each in found), found
        assert [each.name for each in found] == sorted(f"{name}.json" for name, _ in _items(projected))


def _items(projected: Mapping[str, list[Mapping[str, Mapping[str, object]]]]) -> Iterator[tuple[str, dict[str, str]]]:
    for source in projected["sources"]:
        secret = source["secret"]
        items = secret["items"]
        assert isinstance(items, list)
        yield from ((str(secret["name"]), item) for item in items)


def _content(secrets: Mapping[str, Mapping[str, str]], name: str, key: str) -> str:
    # The service of `further-service` is in no project, so the tool makes no Secret for it.
    return secrets[name][key] if name in secrets else "{}"


def _lay_out(volume: Path, files: Mapping[str, str]) -> None:
    """The files in a folder of their own, one link to it, and a link for each first name: so all change at once."""
    version = volume / "..2026_12_01_12_06_30.1931776155"
    for path, content in files.items():
        (version / path).parent.mkdir(parents=True, exist_ok=True)
        (version / path).write_text(content)
    (volume / "..data").symlink_to(version.name)
    for first in {PurePosixPath(path).parts[0] for path in files}:
        (volume / first).symlink_to(f"..data/{first}")


def _configured(folder: str, broker: Workload) -> str:
    name = broker.volumes("configMap")["configuration"]["configMap"]["name"]
    [found] = [each for each in of_kind(folder, "ConfigMap") if each["metadata"]["name"] == name]
    options = dict(line.split(" = ", 1) for line in found["data"]["rabbitmq.conf"].splitlines())
    return str(options[OPTION])
