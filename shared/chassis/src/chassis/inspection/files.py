"""Files that rows of moved tables name: a move carries the names, and nothing carries the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.files.storage import FileSystemStorage, storages
from django.db.models import Field, FileField, FilePathField, Model
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string

from chassis.inspection import sources
from chassis.inspection.findings import Finding
from chassis.inspection.project import Project, listed, moved


def findings(project: Project) -> Iterator[Finding]:
    """Per model those columns whose files lie on a disk, and those whose files lie elsewhere."""
    for model, capability in moved(project):
        fields: list[Field[Any, Any]] = [
            field for field in model._meta.local_fields if isinstance(field, FileField | FilePathField)
        ]
        local = [field for field in fields if _is_local(project, field)]
        remote = [field for field in fields if field not in local]
        if local:
            yield _of_disk(model, local, capability.name)
        if remote:
            yield Finding(
                "files-stay", "note", sources.place(model),
                f"{_shown(remote)} {'names' if len(remote) == 1 else 'name'} files in a storage: a move carries the "
                "names and not the files.",
                "give the service the same storage, with the same settings and rights",
            )  # fmt: skip


def _of_disk(model: type[Model], fields: list[Field[Any, Any]], capability: str) -> Finding:
    message = (
        f"{_shown(fields)} {'names' if len(fields) == 1 else 'name'} files on this machine's disk: a move carries the "
        f"names and not the files. Once {capability} is owned elsewhere, each side lacks the files that the other has "
        "written, and what opens one fails."
    )
    found = Finding(
        "files-stay", "error", sources.place(model), message,
        "let both sides use one storage, a bucket or a volume that both mount, before the switch; then say so "
        f"{sources.where_to_say(sources.file_of(model))}",
    )  # fmt: skip
    return found.explained(sources.reason(*sources.line_of(model)))


def _is_local(project: Project, field: Field[Any, Any]) -> bool:
    if isinstance(field, FilePathField):
        return True
    try:
        cls = _storage(field)
    except Exception as error:  # noqa: BLE001
        project.not_looked_at.append(f"the storage of {_shown([field])}: {type(error).__name__}: {error}")
        return False
    return issubclass(cls, FileSystemStorage)


def _storage(field: Any) -> type:
    """The class of the storage. One that Django has not made yet is not made: it may want a network."""
    storage = field.storage
    if not isinstance(storage, LazyObject):
        return type(storage)
    made = vars(storage).get("_wrapped", empty)
    if made is not empty:
        return type(made)
    backends: Any = storages.backends
    return import_string(backends["default"]["BACKEND"])  # type: ignore[no-any-return]


def _shown(fields: list[Field[Any, Any]]) -> str:
    return listed([f"{field.model._meta.db_table}.{field.column}" for field in fields])
