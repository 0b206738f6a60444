"""``make check``: everything that can be said of the code without running it.

python -m tests.checks            all checks
python -m tests.checks openapi    writes the OpenAPI files
python -m tests.checks seams      records where an app and its copy are meant to differ
python -m tests.checks boards     copies the tool's rules and dashboards to where kustomize reads them
python -m tests.checks lock       pins the requirements
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import links
from tests.copies import drift
from tests.pipeline import gate

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
DESCRIBED = ("monolith", "services/users", "services/products", "services/orders")
# The storefront answers people, and has no interface that a file could describe.
DJANGO = (*DESCRIBED, "services/storefront")
SPECTACULAR = ("python", "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file")
LAYERED = ("shared/chassis", "shared/strangler", *DJANGO)

SHOP_WORDS = re.compile(
    r"\b(shops?|users|users_\w+|products?|orders|basket|household|checkout|customers?|cart)\b", re.IGNORECASE
)

PIN = ("--universal", "--generate-hashes", "--no-header", "--no-emit-index-url")
PIN += ("--no-annotate", "--quiet")
# The data set declares these for reading files that this project reads without them.
NOT_NEEDED = ("--no-emit-package", "pandas", "--no-emit-package", "numpy")
# All that the chassis can do, which the shop uses.
EVERYTHING = ("--extra", "all")
PINNED = {
    "requirements/uv.txt": ["requirements/uv.in"],
    "requirements/all.txt": [
        "requirements/all.in",
        "shared/chassis/pyproject.toml",
        "shared/strangler/pyproject.toml",
        "--extra",
        "local",
        "--extra",
        "tracing",
        "--extra",
        "extract",
        *EVERYTHING,
        *NOT_NEEDED,
    ],
    "requirements/build.txt": ["requirements/build.in"],
    "shared/strangler/requirements.txt": ["shared/strangler/pyproject.toml", "--extra", "tracing"],
    "monolith/requirements.txt": [
        "monolith/requirements.in",
        "shared/chassis/pyproject.toml",
        *EVERYTHING,
        *NOT_NEEDED,
    ],
    "services/users/requirements.txt": ["services/users/requirements.in", "shared/chassis/pyproject.toml", *EVERYTHING],
    "services/products/requirements.txt": [
        "services/products/requirements.in",
        "shared/chassis/pyproject.toml",
        *EVERYTHING,
    ],
    **{
        f"tests/versions/requirements/{name}.txt": [
            f"tests/versions/requirements/{name}.in",
            "shared/chassis/pyproject.toml",
        ]
        for name in ("4.2", "5.2", "5.2-packages", "6.0")
    },
    **{
        f"tests/versions/requirements/{name}-tracing.txt": [
            f"tests/versions/requirements/{name}.in",
            "shared/chassis/pyproject.toml",
            "--extra",
            "tracing",
        ]
        for name in ("4.2", "5.2", "6.0")
    },
    "services/orders/requirements.txt": [
        "services/orders/requirements.in",
        "shared/chassis/pyproject.toml",
        *EVERYTHING,
    ],
    # It reads no token, has no broker and no interface, so it needs no more of the chassis than this.
    "services/storefront/requirements.txt": [
        "services/storefront/requirements.in",
        "shared/chassis/pyproject.toml",
        "--extra",
        "tracing",
    ],
    "tests/browser/requirements.txt": ["tests/browser/requirements.in"],
}


# What the tool and the component `monitoring` both have.
WATCHED = ("alertmanager.yml", "dashboards", "rules")

# The oldest Python that a file is for.
PYTHON = "3.11"
PYTHONS = {f"tests/versions/requirements/6.0{kind}.txt": "3.12" for kind in ("", "-tracing")}


def run(*command: str, where: str = ".") -> bool:
    """Runs one tool in a folder; returns whether it succeeded."""
    return (
        subprocess.run(
            [str(BIN / command[0]), *command[1:]], cwd=ROOT / where, env=environment(), check=False
        ).returncode
        == 0
    )


def environment() -> dict[str, str]:
    """The environment that a Django project needs before it can be checked; nothing connects to these addresses."""
    key = Path(tempfile.gettempdir()) / "unused.pem"
    return {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "BROKER_URL": "memory://",
        "SECRET_KEY": "only-for-checks",
        "TOKEN_KEY_FILE": str(key),
        "GATEWAY_URL": "http://127.0.0.1:1",
        "INTERNAL_URL": "http://127.0.0.1:1",
        "SERVICE_KEY_FILE": str(key),
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def no_word_of_the_shop() -> bool:
    """shared/ serves any project, so it names nothing of this one."""
    found = []
    for path in sorted((ROOT / "shared").rglob("src/**/*")):
        if path.suffix not in {".py", ".sql"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if SHOP_WORDS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    print("\n".join(found) or "no word of the shop in shared/")
    return not found


def openapi_is_current() -> bool:
    """The committed files are what the code generates now."""
    content = True
    for project in DESCRIBED:
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "openapi.yaml"
            made = run(
                "python",
                "manage.py",
                "spectacular",
                "--validate",
                "--fail-on-warn",
                "--file",
                str(fresh),
                where=project,
            )
            same = made and fresh.read_text() == (ROOT / project / "openapi.yaml").read_text()
        print(f"{project}/openapi.yaml {'is current' if same else 'is not current: run `make openapi`'}")
        content &= same
    return content


def write_openapi() -> bool:
    """Writes each project's OpenAPI file."""
    return all(run(*SPECTACULAR, "openapi.yaml", where=project) for project in DESCRIBED)


def lock() -> bool:
    """Pins all requirement files with hashes and without addresses."""
    return all(
        run(
            "uv",
            "pip",
            "compile",
            *PIN,
            "--python-version",
            PYTHONS.get(target, PYTHON),
            *source,
            "--upgrade",
            "-o",
            target,
        )
        for target, source in PINNED.items()
    )


def copy_boards() -> bool:
    """Kustomize reads nothing outside its folder, so the component has copies; tests/manifests compares them."""
    for name in WATCHED:
        copied = ROOT / "k8s/components/monitoring" / name
        source = ROOT / "shared/strangler/src/strangler/observability" / name
        if source.is_dir():
            shutil.rmtree(copied)
            shutil.copytree(source, copied)
        else:
            shutil.copy(source, copied)
    return True


def django_is_content() -> bool:
    """``check --deploy`` is for production's settings; here the projects' own checks and their migrations."""
    commands = [("check",), ("makemigrations", "--check", "--dry-run")]
    # makemigrations warns that it cannot ask a database for its history; there is none here.
    quiet = ("python", "-W", "ignore::RuntimeWarning", "manage.py")
    outcomes = [run(*quiet, *command, where=project) for project in DJANGO for command in commands]
    return all(outcomes)


def references_are_current() -> bool:
    """The pages that are written from the code, or from parts of it."""
    written = [[f"docs/generate_{what}.py"] for what in ("commands", "logs", "metrics")]
    return all(run("python", *words, "--check") for words in [*written, ["-m", "tests.benchmarks.records"]])


def layers_are_kept() -> bool:
    """One run per project, for several projects have packages of the same name."""
    outcomes = [run("lint-imports", where=project) for project in LAYERED]
    return all(outcomes)


def contracts_hold() -> bool:
    """No consumer that runs is broken; where there is no history, this says that nobody has looked."""
    try:
        return gate.judge() == 0
    except gate.NoHistoryError as error:
        print(f"not compared with what others run: {error}")
        return True
    except gate.UnreadableError as error:
        print(error)
        return False


def links_lead_somewhere() -> bool:
    """Those of the documentation, within the repository."""
    found = list(links.broken())
    print("\n".join(found) or "each link within the documentation leads somewhere")
    return not found


def pipelines_are_valid() -> bool:
    """The workflows, and the files for other servers; shell and Python in them only as far as actionlint reads them."""
    workflows = [str(path) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))]
    others = [str(path) for path in sorted((ROOT / "docs/how-to/pipelines").glob("gitlab-*.yml"))]
    schema = ("check-jsonschema", "--quiet", "--builtin-schema")
    outcomes = [
        run("actionlint", "-shellcheck=", *workflows),
        run("zizmor", "--quiet", "--offline", "--persona=pedantic", ".github"),
        run(*schema, "vendor.github-workflows", *workflows),
        run(*schema, "vendor.dependabot", ".github/dependabot.yml"),
        run(*schema, "vendor.gitlab-ci", "--data-transform", "gitlab-ci", *others),
    ]
    if content := all(outcomes):
        print(f"{len(workflows)} workflows, {len(others)} files for GitLab: no problems")
    return content


CHECKS: dict[str, Callable[[], bool]] = {
    "ruff": lambda: run("ruff", "check", "."),
    "ruff format": lambda: run("ruff", "format", "--check", "."),
    "mypy": lambda: run("mypy"),
    "import-linter": layers_are_kept,
    "django": django_is_content,
    "openapi": openapi_is_current,
    "references": references_are_current,
    "copies": drift.copies_are_equal,
    "links": links_lead_somewhere,
    "words": no_word_of_the_shop,
    "contracts": contracts_hold,
    "pipelines": pipelines_are_valid,
    "manifests": lambda: run("python", "-m", "tests.manifests.schemas"),
}


def main(arguments: list[str]) -> int:
    """Runs all checks, also after one has failed; the exit code says whether all succeeded."""
    if arguments == ["openapi"]:
        return 0 if write_openapi() else 1
    if arguments == ["seams"]:
        return 0 if drift.record_seams() else 1
    if arguments == ["boards"]:
        return 0 if copy_boards() else 1
    if arguments == ["lock"]:
        return 0 if lock() else 1
    failed = []
    for name, check in CHECKS.items():
        print(f"--- {name}", flush=True)
        if not check():
            failed.append(name)
    print(
        f"checks: {len(CHECKS) - len(failed)} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
