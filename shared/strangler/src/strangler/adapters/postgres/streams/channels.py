"""Compares publication, slot and subscription of a move with what `streams` has made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from strangler.domain.move import Deviation

# puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
SETTINGS = [False, True, True, True, False, False]


def deviations(
    capability: str, side: str, *, publication: str | None, subscription: str | None, found: Mapping[str, Any]
) -> Iterator[Deviation]:
    """Changes that somebody has made to the streams by hand; ``found`` is the result of `standing.LOOK`."""
    leaves = {str(table["oid"]): table["name"] for table in found["tables"] or [] if table["leaf"]}
    again = f"then run `strangler verify {capability} --repair`"
    anew = f"run `strangler resync {capability}`"
    if publication:
        for what, remedy in _publication(publication, leaves, found):
            yield Deviation(side, what, f"{remedy}, {again}" if remedy else anew)
        for what in _slot(publication, found["slot"]):
            yield Deviation(side, what, anew)
    if subscription:
        for what, remedy, harmless in _subscription(subscription, leaves, found):
            yield Deviation(side, what, remedy or anew, unproven=not harmless)


def _publication(name: str, leaves: Mapping[str, str], found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    present = found["publication"]
    if present is None:
        yield f"the publication {name} is gone", ""
        return
    if present["settings"] != SETTINGS or present["schemas"]:
        yield (
            f"the publication {name} publishes something else than inserts, updates and deletes of the moved tables",
            f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete', publish_via_partition_root = false)",
        )
    tables: Mapping[str, Any] = present["tables"] or {}
    marker = str(found["marker"])
    for oid, table in {**leaves, marker: "strangler.marker"}.items():
        if oid not in tables:
            where = "" if oid != marker else " WHERE (capability = …)"
            yield f"the publication {name} lacks {table}", f"ALTER PUBLICATION {name} ADD TABLE {table}{where}"
    for oid, table in tables.items():
        if oid != marker and oid not in leaves:
            yield (
                f"the publication {name} has {table['name']} besides",
                (f"ALTER PUBLICATION {name} DROP TABLE {table['name']}"),
            )
        elif table["columns"] is not None or (table["filter"] is not None) != (oid == marker):
            yield (
                f"the publication {name} carries only a part of {table['name']}",
                f"drop {table['name']} from it and add it as it was",
            )


def _slot(name: str, found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield f"the slot {name} is gone"
    elif found["plugin"] != "pgoutput" or found["temporary"]:
        yield f"the slot {name} is not the one that the move has made"


def _subscription(name: str, leaves: Mapping[str, str], found: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """What is wrong, the remedy, and whether it cannot have lost or doubled any row."""
    present = found["subscription"]
    if present is None:
        yield f"the subscription {name} is gone", "", False
        return
    if not present["enabled"]:
        yield (
            f"the subscription {name} is disabled",
            "see first that nobody else reads that slot (a restored database's subscription leads to the first one's): "
            f"then ALTER SUBSCRIPTION {name} ENABLE",
            True,
        )
    if present["skips"]:
        yield f"the subscription {name} is to skip a transaction", f"ALTER SUBSCRIPTION {name} SKIP (lsn = NONE)", False
    if present["origin"] != "none":
        yield (
            f"the subscription {name} takes rows of origin {present['origin']}: they would go round in circles",
            f"ALTER SUBSCRIPTION {name} SET (origin = none)",
            False,
        )
    if present["publications"] != [name]:
        yield (
            f"the subscription {name} follows {', '.join(present['publications'])}",
            f"ALTER SUBSCRIPTION {name} SET PUBLICATION {name} WITH (copy_data = false)",
            False,
        )
    if present["slot"] != name:
        yield f"the subscription {name} reads the slot {present['slot'] or '(none)'}", "", False
    tables: Mapping[str, str] = present["tables"] or {}
    for oid, table in leaves.items():
        if oid not in tables:
            yield (
                f"the subscription {name} does not take rows of {table}",
                f"ALTER SUBSCRIPTION {name} REFRESH PUBLICATION WITH (copy_data = false), then verify with --repair",
                False,
            )
