"""What the admin writes: models that move, and models that stay whose admin writes others."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver

from chassis.inspection import entries, sources, urls
from chassis.inspection.configuration import Capability
from chassis.inspection.findings import Finding
from chassis.inspection.lookup import find
from chassis.inspection.orm import joined, tables_of
from chassis.inspection.project import Concern, Group, Project, Reading, finding, groups, listed, readings
from chassis.inspection.reading import NO_ARGUMENTS, Access, Arguments, Summary, together
from chassis.inspection.values import Of, Request, Rows, is_model
from chassis.ownership.admin import OwnedAdmin

ADMIN = "admin"  # the key of what is read by admins of models that move themselves
_PERMISSIONS = ("has_add_permission", "has_change_permission", "has_delete_permission")
_WRITING = ("save_model", "save_related", "save_formset", "delete_model", "delete_queryset", "response_change")
# Options that name fields or relations of the model.
_NAMING = ("list_display", "list_filter", "search_fields", "list_select_related", "date_hierarchy", "readonly_fields")
_CHANGES = {"add", "change", "delete"}


def findings(project: Project) -> Iterator[Finding]:
    """All admins of all sites; nothing where the admin is not installed."""
    for model, admin in _admins():
        project.count("admins")
        yield from _of_model(project, model, admin)
        yield from _inlines(project, model, admin)
        yield from _actions(project, model, admin)
        yield from _methods(project, model, admin)
        yield from _views(project, model, admin)
        _keep_reads(project, model, admin)


def views() -> Collection[Any]:
    """What stands for each view of an admin's ``get_urls``."""
    return {urls.named(pattern.callback) for _, admin in _admins() for pattern in _patterns(admin.get_urls())}


def _admins() -> Iterator[tuple[Any, Any]]:
    """The admins of all sites with their models."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.sites import all_sites

    for site in all_sites:
        yield from sorted(site._registry.items(), key=lambda pair: pair[0]._meta.label)


def _of_model(project: Project, model: Any, admin: Any) -> Iterator[Finding]:
    capability = project.capability_of(model._meta.concrete_model)
    if capability is None or _is_read_only(project, type(admin)):
        return
    yield from _unaware(project, type(admin), model, capability.name)


def _unaware(project: Project, cls: Any, model: Any, name: str) -> Iterator[Finding]:
    label = model._meta.label
    written = sources.is_own(sources.file_of(cls))
    place = next(
        (sources.place(one) for one in (cls, model) if sources.is_own(sources.file_of(one))), f"admin: {label}"
    )
    if not issubclass(cls, OwnedAdmin):
        yield Finding(
            "admin-writes", "error", place,
            f"{cls.__name__ if written else 'The admin'} writes {label}, which moves with {name}, and does not know "
            f"who owns it: once {name} is owned elsewhere, every save and delete in the admin is refused.",
            _mixed_in(cls, label, name, written=written),
        )  # fmt: skip
    elif getattr(cls, "capability", None) != name:
        yield Finding(
            "admin-writes", "error", place,
            f"{cls.__name__} asks who owns {getattr(cls, 'capability', None)!r}, but {label} moves with {name}: it is "
            "writable or read-only at the wrong time.",
            f'write capability = "{name}"',
        )  # fmt: skip


def _mixed_in(cls: Any, label: str, name: str, *, written: bool) -> str:
    if written:
        return (
            f'mix chassis.ownership.admin.OwnedAdmin into it, first, with capability = "{name}"; or, for all admins of '
            f'an app, in the settings: CHASSIS_OWNED_ADMINS = {{"{name}": ["{label.partition(".")[0]}"]}}'
        )
    return (
        f"register one of your own: admin.site.unregister({label.rpartition('.')[2]}), then a subclass of "
        f'{sources.dotted(cls)} with chassis.ownership.admin.OwnedAdmin first and capability = "{name}"; or in the '
        f'settings: CHASSIS_OWNED_ADMINS = {{"{name}": ["{label}"]}}'
    )


def _inlines(project: Project, model: Any, admin: Any) -> Iterator[Finding]:
    """Inlines of another capability's models, or of models that stay: those of the same one follow the parent."""
    parent = project.capability_of(model._meta.concrete_model)
    for inline in getattr(admin, "inlines", ()):
        inlined: Any = getattr(inline, "model", None)
        if not isinstance(inline, type) or inlined is None:
            continue
        inner = project.capability_of(inlined._meta.concrete_model)
        if inner is not None and inner is not parent and not _is_read_only(project, inline):
            yield from _unaware(project, inline, inlined, inner.name)


def _actions(project: Project, model: Any, admin: Any) -> Iterator[Finding]:
    parent = project.capability_of(model._meta.concrete_model)
    for name, action in _named_actions(admin):
        project.count("admin actions")
        guards = set(getattr(action, "allowed_permissions", ()))
        safe = parent is not None and isinstance(admin, OwnedAdmin) and bool(guards & _CHANGES)
        arguments = Arguments(((), (Request("POST"),), (Rows(model),)))
        if hasattr(type(admin), name):
            arguments = Arguments(arguments.positional[1:])
            summary = entries.method(project.reader, type(admin), name, arguments)
        else:
            summary = entries.function(project.reader, action, arguments)

        def inside(capability: Capability, safe: bool = safe) -> bool:
            return safe and capability is parent

        told = f"the action {name} of {type(admin).__name__}"
        for group in groups(project, summary, inside=inside, what=told, entry=action):
            told = (
                f"The action {name} of {type(admin).__name__} writes {group.done}, whoever owns "
                f"{group.capability.name}."
            )
            cure = (
                'give it @admin.action(permissions=["change"]): an OwnedAdmin offers it only where the model is owned'
                if parent is group.capability
                else f'ask owners.is_open("{group.capability.name}") before it, or send a message to the owner'
            )
            yield finding("admin-writes", "error", group, entry=action, message=told, remedy=cure)


def _named_actions(admin: Any) -> Iterator[tuple[str, Any]]:
    for action in getattr(admin, "actions", None) or ():
        if callable(action):
            yield getattr(action, "__name__", "action"), action
        elif (found := getattr(type(admin), action, None)) is not None:
            yield action, found
    for name, action in admin.admin_site.actions:
        if name != "delete_selected":
            yield name, action


def _methods(project: Project, model: Any, admin: Any) -> Iterator[Finding]:
    """What the project's own methods of an admin write beside its model."""
    parent = project.capability_of(model._meta.concrete_model)
    for name in _WRITING:
        summary = entries.method(project.reader, type(admin), name, NO_ARGUMENTS, own=True)

        def inside(capability: Capability) -> bool:
            return capability is parent

        for group in groups(project, summary, inside=inside, what=_pages(model), entry=type(admin)):
            told = (
                f"{type(admin).__name__}.{name} writes {group.done}, whoever owns {group.capability.name}: once that "
                "is another side, saving in the admin is refused."
            )
            cure = f'ask owners.is_open("{group.capability.name}") before it, or send a message to the owner'
            yield finding("admin-writes", "error", group, entry=type(admin), message=told, remedy=cure)


def _views(project: Project, model: Any, admin: Any) -> Iterator[Finding]:
    """The views that ``get_urls`` has besides Django's own, whoever has added them."""
    parent = project.capability_of(model._meta.concrete_model)
    for pattern in _patterns(admin.get_urls()):
        view = urls.named(pattern.callback)
        if (getattr(view, "__module__", "") or "").startswith("django."):
            continue
        project.count("admin views")
        found: dict[tuple[str, str], tuple[Group, list[str]]] = {}
        for method in [each for each in ("GET", "POST") if each in urls.methods_of(pattern.callback)]:
            # An OwnedAdmin refuses it, and an admin of such a model that is none is a finding by itself.
            refused = method == "POST" and not (pattern.name or "").endswith(tuple(_reading(admin)))

            def inside(capability: Capability, refused: bool = refused) -> bool:
                return refused and capability is parent

            summary, told = (
                entries.view(project.reader, pattern.callback, method),
                f"the admin's view {sources.dotted(view)}",
            )
            for group in groups(project, summary, inside=inside, what=told, entry=view):
                found.setdefault((group.capability.name, group.done), (group, []))[1].append(method)
        for (name, done), (group, methods) in found.items():
            told = f"The admin's view {sources.dotted(view)} writes {done} for {listed(methods)}, whoever owns {name}."
            cure = (
                "let only a POST write: an OwnedAdmin answers it only where the model is owned"
                if parent is group.capability
                else f'ask owners.is_open("{name}") before it, or send a message to the owner'
            )
            yield finding("admin-writes", "error", group, entry=view, message=told, remedy=cure)


def _keep_reads(project: Project, model: Any, admin: Any) -> None:
    """Keeps for the end what an admin reads: the model itself, what its options name, what its own methods do."""
    cls = type(admin)
    entry = cls if sources.is_own(sources.file_of(cls)) else model
    parent = project.capability_of(model._meta.concrete_model)
    if parent is not None:
        access = Access(model._meta.db_table, "the admin")
        reason = sources.reason(*sources.line_of(entry))
        # Those of a capability are told together, for all of them have one cure.
        project.readings.append(Reading(_pages(model), entry, ADMIN, Concern(parent, access, (), reason)))
    methods = [name for name in dir(cls) if not name.startswith("__")]
    rows = Arguments(((Of(model),),))
    summary = together(
        Summary(reads={Access(table, "the admin"): () for each in _shown(model, admin) for table in tables_of(each)}),
        *(entries.method(project.reader, cls, name, rows, own=True) for name in methods if name not in _WRITING),
    )
    for one in readings(project, summary, entry, inside=lambda capability: capability is parent):
        project.readings.append(Reading(_pages(model), entry, entry, one))


def _shown(model: Any, admin: Any) -> Iterator[Any]:
    """The models of which an admin shows, searches or offers rows beside its own."""
    for option in _NAMING:
        names = getattr(admin, option, None)
        for one in names if isinstance(names, list | tuple) else [names]:
            path = one[0] if isinstance(one, list | tuple) and one else one
            if isinstance(path, str):
                yield from joined(model, path, whole=True)
    for inline in getattr(admin, "inlines", ()):
        if is_model(inlined := getattr(inline, "model", None)):
            yield inlined
            yield from _offered(inlined, inline)
    yield from _offered(model, admin)


def _offered(model: Any, admin: Any) -> Iterator[Any]:
    """The models whose rows the form offers: those of its keys."""
    from django.contrib.admin.utils import flatten, flatten_fieldsets

    fieldsets = getattr(admin, "fieldsets", None)
    named = flatten_fieldsets(fieldsets) if fieldsets else flatten(getattr(admin, "fields", None) or ())
    left = {*(getattr(admin, "exclude", None) or ())}
    for field in (*model._meta.fields, *model._meta.many_to_many):
        offered = field.editable and field.name not in left and (not named or field.name in named)
        if offered and is_model(field.related_model):
            yield field.related_model


def _pages(model: Any) -> str:
    return f"the admin's pages of {model._meta.label}"


def _patterns(patterns: Iterable[Any]) -> Iterator[URLPattern]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns)
        else:
            yield one


def _reading(admin: Any) -> Collection[str]:
    return admin.reading_views if isinstance(admin, OwnedAdmin) else OwnedAdmin.reading_views


def _is_read_only(project: Project, cls: type) -> bool:
    """Whether each of the three permissions is refused to all."""
    return all(_refuses(project, cls, name) for name in _PERMISSIONS)


def _refuses(project: Project, cls: type, name: str) -> bool:
    raw, _ = find(cls, name)
    node = sources.node(raw) if hasattr(raw, "__code__") else None
    if node is None or isinstance(node, ast.Lambda):
        return False
    returns = [each for each in ast.walk(node) if isinstance(each, ast.Return)]
    return bool(returns) and all(isinstance(one.value, ast.Constant) and not one.value.value for one in returns)
