"""What writes beside the views: management commands, Celery's tasks, handlers of messages and of the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management import get_commands, load_command_class

from chassis.inspection import entries
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding
from chassis.inspection.project import Project, apps_that_write, finding, groups
from chassis.inspection.reading import together


def commands(project: Project) -> Iterator[Finding]:
    """The commands of the project's own apps, and of apps whose models move."""
    writing = {config.name for config in apps_that_write(project)}
    for name, app in sorted(get_commands().items()):
        label = app if isinstance(app, str) else type(app).__module__
        if label not in writing:
            continue
        project.count("commands")
        try:
            command = load_command_class(app, name) if isinstance(app, str) else app
        except Exception as error:  # noqa: BLE001
            # What the project's own module raises is not known here; the command is named as not looked at.
            project.not_looked_at.append(f"the command {name}: {type(error).__name__}: {error}")
            continue
        summary = entries.method(project.reader, type(command), "handle")
        told = f"manage.py {name}"
        for group in groups(project, summary, inside=lambda capability: False, what=told, entry=type(command).handle):
            owner = group.capability.name
            yield finding(
                "command-writes", "warning", group, entry=type(command).handle,
                message=f"manage.py {name} writes {group.done}: once {owner} is owned elsewhere, the fence refuses it.",
                remedy="run it in the service from then on, and take it out of crontabs here; or let it ask "
                f'owners.is_open("{owner}") first',
            )  # fmt: skip


def tasks(project: Project) -> Iterator[Finding]:
    """The tasks of the Celery app that is current; nothing where the project has none."""
    celery = sys.modules.get("celery")
    if celery is None:
        return
    app: Any = celery.current_app._get_current_object()
    try:
        app.loader.import_default_modules()
    except Exception as error:  # noqa: BLE001
        project.not_looked_at.append(f"modules of tasks: {type(error).__name__}: {error}")
    for name, task in sorted(app.tasks.items()):
        if name.startswith("celery."):
            continue
        project.count("tasks")
        queue = _queue(app, task, name)
        fenced = str(app.task_cls).startswith("chassis.")

        def follows_the_owner(capability: Capability, queue: str = queue, fenced: bool = fenced) -> bool:
            return fenced and queue == f"{capability.name}.tasks"

        summary = entries.function(project.reader, task)
        leaving = next(
            (one.name for one in project.configuration.capabilities.values() if follows_the_owner(one)), None
        )
        for group in groups(
            project, summary, inside=follows_the_owner, what=f"the task {name}", entry=task.run, leaving=leaving
        ):
            owner = group.capability.name
            yield finding(
                "task-writes", "error", group, entry=task.run,
                message=f"The task {name}, of the queue {queue!r}, writes {group.done}: once {owner} is owned "
                "elsewhere, it fails at the fence.",
                remedy="make the app by chassis.servers.celery_app.consuming, and send the task to the queue "
                f"{owner}.tasks on both sides: the owner's worker then does it",
            )  # fmt: skip


def handlers(project: Project) -> Iterator[Finding]:
    """The handlers of messages: each may write what its own capability owns, for it runs only where that is open."""
    inbox: Any = sys.modules.get("chassis.messages.inbox")
    for handler in () if inbox is None else inbox.handlers():
        project.count("message handlers")

        def its_own(capability: Capability, name: str = handler.capability) -> bool:
            return capability.name == name

        functions = [function for function in (handler.before, handler.function) if function is not None]
        summary = together(*(entries.function(project.reader, function) for function in functions))
        told = f"the handler of {handler.type} for {handler.capability}"
        leaving = handler.capability if handler.capability in project.configuration.capabilities else None
        for group in groups(project, summary, inside=its_own, what=told, entry=handler.function, leaving=leaving):
            owner = group.capability.name
            yield finding(
                "handler-writes", "error", group, entry=handler.function,
                message=f"The handler of {handler.type} for {handler.capability} writes {group.done}: once {owner} is "
                "owned elsewhere, each such message becomes a dead letter.",
                remedy=f'let {owner} handle the message itself (capability="{owner}"), or send it a command',
            )  # fmt: skip


def log(project: Project) -> Iterator[Finding]:
    """The project's own handlers of the log: what they write belongs to whatever is being done."""
    known = [
        logging.root,
        *(one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)),
    ]
    for cls in dict.fromkeys(type(handler) for logger in known for handler in logger.handlers):
        project.count("log handlers")
        summary = entries.method(project.reader, cls, "emit", own=True)
        told = f"the log handler {cls.__qualname__}"
        for group in groups(project, summary, inside=lambda capability: False, what=told, entry=cls):
            owner = group.capability.name
            yield finding(
                "log-writes", "error", group, entry=cls,
                message=f"The log handler {cls.__qualname__} writes {group.done}, in the transaction of whatever logs: "
                f"once {owner} is owned elsewhere, a request that logs is refused and undone.",
                remedy=f'ask owners.is_open("{owner}") before the write, or keep the log in a table that stays',
            )  # fmt: skip


def _queue(app: Any, task: Any, name: str) -> str:
    try:
        options = {**app.amqp.router.route({}, name)}
        queue = getattr(task, "queue", None) or options.get("queue") or app.conf.task_default_queue
        return str(getattr(queue, "name", queue) or "")
    except Exception:  # noqa: BLE001
        return str(app.conf.task_default_queue or "")  # a router of the project's own that wants a broker
