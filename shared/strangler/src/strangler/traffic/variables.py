"""The variables of the environment that a scenario reads: accounts which it cannot make up."""

from __future__ import annotations

import re

from strangler.traffic.planning import Plan

STAFF = "STAFF_"


class Variables:
    """``names`` are those of the scenario with those of the environment, ``told`` says what each of the latter is."""

    def __init__(self, plan: Plan, project: str) -> None:
        prefix = re.sub(r"\W+", "_", project.upper()).strip("_") or "PROJECT"
        self.names: dict[str, str] = {}
        self.told: dict[str, str] = {}
        account = plan.account
        if account.needed and account.register is None:
            self._add(prefix, "", plan, "an account that is there")
        if account.staff:
            self._add(prefix, STAFF, plan, "an account of staff")

    @property
    def staff(self) -> str:
        """The one that says whether there is staff; empty if none is needed."""
        return next((name for name in self.names if name.startswith(STAFF)), "")

    def _add(self, prefix: str, mark: str, plan: Plan, whose: str) -> None:
        if plan.account.takes_token:
            found = {"TOKEN": f"the value of the header {plan.known.header} of {whose}"}
        else:
            found = {"USERNAME": f"how {whose} logs in", "PASSWORD": "its password"}
            if not mark:
                found["USERNAME"] += ", or several with commas between"
                found["PASSWORD"] = "its password, or that of all of them"  # noqa: S105
        for name, what in found.items():
            self.names[mark + name] = f"{prefix}_{mark}{name}"
            self.told[f"{prefix}_{mark}{name}"] = what
