"""Requirements, the image and the manifests of the service, by the kit's pattern."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.access import Access, Way
from strangler.extract.frame.installed import Installed
from strangler.extract.frame.programs import has_celery, scheduled
from strangler.extract.frame.spelling import text
from strangler.extract.frame.surroundings import Surroundings

CHASSIS = "strangler-chassis"
# They come with the chassis.
_BROUGHT = frozenset({CHASSIS, "strangler", "psycopg-binary", "psycopg2", "psycopg2-binary"})
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*(?P<rest>[^#\\]*)")
DOCKERFILE = """\
FROM python:{python}-slim

RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin service
WORKDIR /app/project
# The chassis is on no package index: its wheel lies in wheels/ (docs/how-to/own-project.md, section 2).
COPY wheels /tmp/wheels
COPY requirements.txt .
RUN pip install --no-cache-dir --find-links /tmp/wheels --requirement requirements.txt
COPY . .
ENV PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1 \\
    LOG_SERVICE={name} \\
    BIND=0.0.0.0:8000
USER 10001:10001
EXPOSE 8000
CMD {command}
"""


def packaging(
    here: Surroundings, installed: Installed, access: Access, *, base: Path, target: Path
) -> tuple[Mapping[PurePosixPath, str], tuple[Decision, ...]]:
    """The files by path; ``base`` is the folder of strangler.toml, ``target`` that of the service."""
    within = (base / "shared" / "chassis" / "pyproject.toml").is_file() and target.is_relative_to(base)
    lines, decisions = _requirements(here, installed)
    folder = target.relative_to(base).as_posix() if within else target.name
    files: dict[PurePosixPath, str] = {PurePosixPath("pyproject.toml"): _pyproject(here)}
    if within:
        files[PurePosixPath("requirements.in")] = _compiled(lines, folder)
        decisions.append(
            Decision("", Kind.FILE, "requirements.in is not compiled yet", "compile it, as its first lines say")
        )
        image = _image_of_kit(base, folder)
    else:
        files[PurePosixPath("requirements.txt")] = "\n".join([*lines, _chassis(here, installed, access), ""])
        image = DOCKERFILE.format(python=here.described.python or "3.13", name=here.name, command=_command(here))
        decisions.append(
            Decision(
                "",
                Kind.FILE,
                "the image needs the chassis, which is on no package index",
                "put its wheel into wheels/ (docs/how-to/own-project.md, section 2)",
                open=False,
            )
        )
    files[PurePosixPath("Dockerfile")] = image
    pattern = base / "k8s" / "pattern"
    files[PurePosixPath("k8s/kustomization.yaml")] = _manifests(here, os.path.relpath(pattern, target / "k8s"))
    if not pattern.is_dir():
        decisions.append(
            Decision(
                "",
                Kind.FILE,
                f"k8s/kustomization.yaml needs the kit's pattern, which is not at {os.path.relpath(pattern, base)}",
                "copy k8s/pattern of the kit there, or take k8s/ away if the service does not run on a cluster",
                open=False,
            )
        )
    return files, tuple(decisions)


def _requirements(here: Surroundings, installed: Installed) -> tuple[list[str], list[Decision]]:
    known = {_normal(name): line for name, line in _lines(here.root)}
    wanted = {"django", *map(_normal, here.source.packages)}
    tops = {*installed.packages} | {name.partition(".")[0] for name in here.imports}
    for top in tops - here.own_modules - {*sys.stdlib_module_names}:
        if found := here.described.distributions.get(top):
            wanted.add(_normal(found.name))
    wanted.add("gunicorn" if here.described.programs.wsgi or not here.described.programs.asgi else "uvicorn")
    if has_celery(here):
        wanted.add("celery")
    versions = {_normal(one.name): one.version for one in here.described.distributions.values()}
    lines, decisions = [], []
    for name in sorted(wanted - _BROUGHT):
        if name in known:
            lines.append(known[name])
        elif name in versions:
            lines.append(f"{name}=={versions[name]}")
        else:
            lines.append(name)
            decisions.append(
                Decision("", Kind.FILE, f"no version of {name} is known", "write one into the requirements", open=False)
            )
    return lines, decisions


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(root: Path) -> Iterator[tuple[str, str]]:
    """By distribution, the line in which the project asks for it; the file that people write comes last, for it
    counts."""
    folders = [root, root.parent]
    files = [file for folder in folders for file in _files(folder)]
    for file in reversed(files):
        if file.suffix == ".toml":
            yield from _of_pyproject(file)
            continue
        try:
            written = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        yield from _named(written.splitlines())


def _files(folder: Path) -> list[Path]:
    patterns = ("requirements.in", "requirements/*.in", "pyproject.toml", "requirements.txt", "requirements*.txt",
                "requirements/*.txt")  # fmt: skip
    return list(dict.fromkeys(path for one in patterns for path in sorted(folder.glob(one))))


def _of_pyproject(file: Path) -> Iterator[tuple[str, str]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    project = content.get("project")
    dependencies = project.get("dependencies") if isinstance(project, dict) else None
    yield from _named(one for one in dependencies or () if isinstance(one, str))


def _named(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        plain = line.strip().partition(" --hash")[0]
        found = _LINE.match(plain)
        if found and not plain.startswith(("-", "#", ".", "/", "git+")) and "://" not in plain:
            yield found["name"], f"{found['name']}{found['extras'] or ''}{found['rest'].strip()}"


def _chassis(here: Surroundings, installed: Installed, access: Access) -> str:
    extras = []
    if here.imports_of("rest_framework"):
        extras.append("rest")
    if Way.TOKENS in access.ways or here.imports_of("chassis.identity"):
        extras.append("identity")
    if here.imports_of("chassis.calls"):
        extras.append("calls")
    if has_celery(here):
        extras.append("messages")
    if "django_prometheus" in installed.modules:
        extras = ["all"]
    return f"{CHASSIS}[{','.join(extras)}]" if extras else CHASSIS


def _compiled(lines: Sequence[str], folder: str) -> str:
    return "\n".join(
        [
            "# What the service imports besides the chassis; compiled together with shared/chassis/pyproject.toml:",
            f"# uv pip compile {folder}/requirements.in shared/chassis/pyproject.toml \\",
            f"#   --universal --python-version 3.11 --generate-hashes --no-emit-index-url -o {folder}/requirements.txt",
            *lines,
            "",
        ]
    )


def _image_of_kit(base: Path, folder: str) -> str:
    """As those of all Django projects of the repository: they differ in one line."""
    text = (base / "monolith" / "Dockerfile").read_text(encoding="utf-8")
    return re.sub(r"^ARG PROJECT=.*$", f"ARG PROJECT={folder}", text, count=1, flags=re.MULTILINE)


def _command(here: Surroundings) -> str:
    if here.described.programs.asgi and not here.described.programs.wsgi:
        words = ["uvicorn", f"{here.package}.asgi:application", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104
    else:
        words = ["gunicorn", f"{here.package}.wsgi:application", "--config", "python:chassis.servers.gunicorn"]
    return f"[{', '.join(map(text, words))}]"


def _pyproject(here: Surroundings) -> str:
    folders = {path.parts[0] for path in here.source.files if path.name.startswith("test_") or path.name == "tests.py"}
    tests = [text(folder) for folder in sorted(folders)]
    return "\n".join(
        [
            "[tool.pytest.ini_options]",
            f'DJANGO_SETTINGS_MODULE = "{here.package}.settings"',
            'pythonpath = ["."]',
            f"testpaths = [{', '.join(tests)}]",
            "",
        ]
    )


def _manifests(here: Surroundings, pattern: str) -> str:
    resources = ["web"]
    if has_celery(here):
        resources.append("worker")
    if here.imports_of("chassis.messages") or here.imports_of("chassis.sagas"):
        resources.append("relay")
    components = ["pod"]
    if here.owns_accounts:
        components.append("accounts")
    if has_celery(here) and scheduled(here):
        components.append("beat")
    components.append("name")
    return "\n".join(
        [
            "apiVersion: kustomize.config.k8s.io/v1beta1",
            "kind: Kustomization",
            "resources:",
            *(f"  - {pattern}/{one}" for one in resources),
            "configMapGenerator:",
            "  - name: service",
            "    behavior: merge",
            "    literals:",
            f"      - SERVICE_NAME={here.name}",
            "components:",
            *(f"  - {pattern}/{one}" for one in components),
            "",
        ]
    )
