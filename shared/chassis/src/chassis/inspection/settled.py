"""What a person has said of findings in the settings, for nobody can write a comment into an installed package."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

from chassis import settings
from chassis.inspection.configuration import ConfigurationError
from chassis.inspection.findings import Finding, Report

PLACE = "settings.CHASSIS_CHECKED"


def apply(report: Report, reasons: Mapping[str, str], *, whole: bool) -> None:
    """Makes notes of the findings that the settings name, and warns of names that no finding has.

    ``whole``: all capabilities were looked at, so that a name without a finding explains nothing.
    """
    used: set[str] = set()
    for number, finding in enumerate(report.findings):
        name = f"{finding.id} {finding.place}"
        if name in reasons and finding.id != "cannot-look":
            used.add(name)
            report.findings[number] = finding.explained(reasons[name])
    idle = [name for name in reasons if name not in used] if whole else []
    report.add(
        Finding(
            "checked-nothing", "warning", PLACE,
            f"it explains {name!r}, and nothing of this name is found: the place has changed, perhaps with a new "
            "version of the package, or the finding is gone.",
            "look again, and write identifier and place as they are printed; or take the entry out",
        )
        for name in idle
    )  # fmt: skip


def reasons() -> Mapping[str, str]:
    """By identifier and place of a finding, why it is no fault. Raises ConfigurationError."""
    try:
        return settings.checked()
    except ImproperlyConfigured as error:
        raise ConfigurationError(
            PLACE, "is no dict of texts", 'write {"IDENTIFIER PLACE": "the reason"}, as they are printed here'
        ) from error
