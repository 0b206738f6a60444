"""Receivers of signals: those that write what moves, and those that streamed rows do not call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Model
from django.db.models.signals import ModelSignal

from chassis.inspection import entries, sources
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding
from chassis.inspection.lookup import user_model
from chassis.inspection.project import Project, finding, groups, listed
from chassis.inspection.reading import Arguments, Summary
from chassis.inspection.receivers import receivers_of, senders, signals
from chassis.inspection.values import Known, Of, Values

# Sent when a row is written; those of a row that a stream brings are not sent.
_OF_ROWS = {"pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed"}
_ALL: Sequence[type[Model] | None] = (None,)
# Sent while a database is migrated, by people who know.
_SET_ASIDE = {"pre_migrate", "post_migrate", "class_prepared", "pre_init", "post_init", "connection_created"}


def findings(project: Project) -> Iterator[Finding]:
    """All receivers of all signals whose modules are loaded."""
    silent: dict[Any, list[tuple[str, type[Model] | None]]] = {}
    for name, signal in signals():
        if name in _SET_ASIDE:
            continue
        for receiver, identity in receivers_of(signal):
            models = senders(identity) if isinstance(signal, ModelSignal) else None
            project.count("receivers")
            yield from _writing(project, name, receiver, models)
            if name in _OF_ROWS:
                silent.setdefault(receiver, []).extend((name, model) for model in (models or _ALL))
    yield from _silent(project, silent)


def _writing(
    project: Project, name: str, receiver: Callable[..., Any], models: list[type[Model]] | None
) -> Iterator[Finding]:
    for model in models if models is not None else _ALL:
        sender = project.capability_of(model) if model is not None else None

        def inside(capability: Capability, sender: Capability | None = sender) -> bool:
            return capability is sender

        summary, told = _summary(project, receiver, model), f"the receiver {sources.dotted(receiver)}"
        for group in groups(project, summary, inside=inside, what=told, entry=receiver):
            owner = group.capability.name
            heard = f"{name} of {model._meta.label}" if model else f"{name}, whoever sends it"
            yield finding(
                "signal-writes", "error", group, entry=receiver,
                message=f"{sources.dotted(receiver)} hears {heard} and writes {group.done}: once {owner} is owned "
                "elsewhere, whatever sends the signal fails at the fence.",
                remedy=f'ask owners.is_open("{owner}") in the receiver; where the owner has to hear of it, send it a '
                "message",
            )  # fmt: skip


def _summary(project: Project, receiver: Callable[..., Any], model: type[Model] | None) -> Summary:
    known: tuple[tuple[str, Values], ...] = ()
    account = user_model()
    if model is not None:
        known = (("sender", (Known(model),)), ("instance", (Of(model),)))
    elif account is not None:
        known = (("user", (Of(account, guessed=True),)),)
    return entries.function(project.reader, receiver, Arguments((), known, rest=True))


def _silent(project: Project, heard: dict[Any, list[tuple[str, type[Model] | None]]]) -> Iterator[Finding]:
    """Receivers that hear of rows of a moved model. One that only writes tables of the same capability misses nothing:
    the owner's receiver writes them, and they come by the stream as well."""
    for receiver, pairs in heard.items():
        about: list[tuple[str, type[Model] | None]] = []
        names: list[str] = []
        for capability in project.capabilities:
            own = [(name, model) for name, model in pairs if model is None or capability.holds(model._meta.db_table)]
            if own and not _is_plumbing(receiver) and not _stays_inside(project, receiver, capability, own):
                about += own
                names.append(capability.name)
        if not about:
            continue
        kinds = listed(sorted({name for name, _ in about}))
        labels = listed(sorted({model._meta.label for _, model in about if model is not None})) or "every model"
        found = Finding(
            "receiver-does-not-run", "warning", sources.place(receiver),
            f"{sources.dotted(receiver)} hears {kinds} of {labels}. It does not run for rows that the stream brings: "
            "what it keeps here (a cache, an index, a counter) is no longer kept up once "
            f"{listed(names)} {'is' if len(names) == 1 else 'are'} owned elsewhere.",
            "let the owner tell of the change by a message and keep it up in a handler, or keep it in the service",
            "likely" if labels == "every model" else "certain",
        )  # fmt: skip
        yield found.explained(sources.reason(*sources.line_of(receiver)))


def _stays_inside(project: Project, receiver: Any, capability: Capability, pairs: Sequence[tuple[str, Any]]) -> bool:
    named = next((model for _, model in pairs if model is not None), None)
    summary = _summary(project, receiver, named)
    return bool(summary.writes) and all(capability.holds(write.table) for write in summary.writes)


def _is_plumbing(receiver: Any) -> bool:
    """Django's own, and the chassis'."""
    module = getattr(receiver, "__module__", "") or ""
    return module.startswith(("django.", "chassis."))
