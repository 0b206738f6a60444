"""What servers, Celery and people run: manage.py, the WSGI and ASGI applications, the Celery app."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from strangler.extract.draft import Decision, Kind
from strangler.extract.frame.spelling import python, text
from strangler.extract.frame.surroundings import Surroundings
from strangler.init.described import Scheduled

MANAGE = '''\
#!/usr/bin/env python
"""Django's command line for the {name} service."""

from __future__ import annotations

import os
import signal
import sys

from chassis.management.refusing import run

if __name__ == "__main__":
    # The first process of a container ignores a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{package}.settings")
    run(sys.argv)
'''
WSGI = '''\
"""What gunicorn serves."""

from __future__ import annotations

import os

{imports}

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{package}.settings")

application = {made}
'''
ASGI = '''\
"""What an ASGI server serves."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{package}.settings")

application = get_asgi_application()
'''
CELERY = '''\
"""The Celery app of the service; its worker does the tasks of the capability and takes in its messages."""

from __future__ import annotations

import os

from celery import Celery
{imports}from chassis import environment
from chassis.servers import celery_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{package}.settings")

app = celery_app.consuming(Celery({name}))
{configured}
app.autodiscover_tasks()
'''


def has_celery(here: Surroundings) -> bool:
    """Whether the service has a worker: the project has one, and there is something for it to do."""
    if not here.described.programs.celery:
        return False
    consumes = here.described.setting("CHASSIS_CONSUMES")
    hears = consumes is not None and isinstance(consumes.value, dict) and here.capability.name in consumes.value
    return hears or here.imports_of("celery") or any(path.name == "tasks.py" for path in here.texts)


def programs(here: Surroundings) -> tuple[Mapping[PurePosixPath, str], tuple[Decision, ...]]:
    """The files by path, and what of the project's programs a person has to carry over."""
    package = PurePosixPath(here.package)
    rest = here.imports_of("rest_framework")
    imports = "from django.core.wsgi import get_wsgi_application"
    made = "get_wsgi_application()"
    if rest:
        imports, made = f"from chassis.rest.doorstep import guarded\n{imports}", f"guarded({made})"
    worker = has_celery(here)
    title = f'"""The {here.name} service: settings, addresses, entry points."""\n'
    app = f'\nfrom {here.package}.celery import app as celery_app\n\n__all__ = ["celery_app"]\n'
    files = {
        PurePosixPath("manage.py"): MANAGE.format(name=here.name, package=here.package),
    }
    if package / "__init__.py" not in here.source.files:
        files[package / "__init__.py"] = title + (app if worker else "")
    if here.described.programs.wsgi or not here.described.programs.asgi:
        files[package / "wsgi.py"] = WSGI.format(imports=imports, made=made, package=here.package)
    if here.described.programs.asgi:
        files[package / "asgi.py"] = ASGI.format(package=here.package)
    decisions: list[Decision] = []
    if worker:
        entries = scheduled(here)
        files[package / "celery.py"] = CELERY.format(
            package=here.package,
            name=text(here.name),
            imports="".join(f"{line}\n" for line in dict.fromkeys(line for one in entries for line in one.imports)),
            configured=_configured(here, entries),
        )
        decisions += _untold(here)
    return files, tuple(decisions)


def scheduled(here: Surroundings) -> list[Scheduled]:
    """The entries of the schedule whose tasks came along, and which could be told."""
    return [one for one in here.described.schedule if one.every and _is_here(here, one)]


def _is_here(here: Surroundings, one: Scheduled) -> bool:
    """By the module that the task's name begins with, or by its name in the code."""
    return here.comes_along(one.task) or any(f'"{one.task}"' in text_ for text_ in here.texts.values())


def _configured(here: Surroundings, entries: Sequence[Scheduled]) -> str:
    queue = text(f"{here.capability.name}.tasks")
    if not entries:
        return f"app.conf.update(environment.celery(queue={queue}))"
    lines = ["app.conf.update(", f"    environment.celery(queue={queue}),", "    beat_schedule={"]
    for one in entries:
        lines += [
            f"        {text(one.name)}: {{",
            f'            "task": {text(one.task)},',
            f'            "schedule": {one.every},',
            *(f"            {text(key)}: {python(ast.literal_eval(value))}," for key, value in one.rest.items()),
            "        },",
        ]
    lines += [
        "    },",
        "    # It keeps the schedule in memory, so that beat needs no file.",
        '    beat_scheduler="celery.beat:Scheduler",',
        ")",
    ]
    return "\n".join(lines)


def _untold(here: Surroundings) -> Iterator[Decision]:
    for one in here.described.schedule:
        if not one.every and _is_here(here, one):
            yield Decision(
                _celery_place(here),
                Kind.SETTING,
                f"the schedule's entry {one.name} ({one.task}) could not be copied",
                f"write it into {here.package}/celery.py with options for the queue {here.capability.name}.tasks "
                "(docs/how-to/own-project.md, Tasks and schedules)",
            )


def _celery_place(here: Surroundings) -> str:
    module = (here.described.programs.celery or "").replace(".", "/")
    for path in (f"{module}.py", f"{module}/celery.py", f"{module}/__init__.py"):
        file = Path(here.root / path)
        if file.is_file():
            return f"{path}:{_line_of_schedule(file)}"
    return module


def _line_of_schedule(file: Path) -> int:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return 1
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "beat_schedule":
            return node.value.lineno
        if isinstance(node, ast.Attribute) and node.attr == "beat_schedule":
            return node.lineno
    return 1
