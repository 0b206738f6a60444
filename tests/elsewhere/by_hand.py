"""What a person writes between `init`, `extract` and the first `start` of the library: file by file, old and new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

Change = tuple[str, str]

MONOLITH: Mapping[str, Sequence[Change]] = {
    "library/settings.py": [
        ('    "notices",\n]', '    "notices",\n    "chassis",\n]'),
        (
            "MIDDLEWARE = [\n",
            "MIDDLEWARE = [\n"
            '    "chassis.servers.health.HealthMiddleware",\n'
            '    "chassis.process.admission.AdmissionMiddleware",\n'
            '    "chassis.ownership.fence.FenceMiddleware",\n',
        ),
        (
            "# Days, and loans per reader.\n",
            'CHASSIS_IDENTITY_SECRETS = os.environ.get("IDENTITY_SECRET", "").split()\n\n'
            "# Days, and loans per reader.\n",
        ),
    ],
    "loans/admin.py": [
        (
            "from django.contrib import admin\n",
            "from chassis.ownership.admin import OwnedAdmin\nfrom django.contrib import admin\n",
        ),
        (
            "class LoanAdmin(admin.ModelAdmin):\n",
            'class LoanAdmin(OwnedAdmin, admin.ModelAdmin):\n    capability = "loans"\n',
        ),
        (
            "admin.site.register(Reason)\n",
            '@admin.register(Reason)\nclass ReasonAdmin(OwnedAdmin, admin.ModelAdmin):\n    capability = "loans"\n',
        ),
    ],
    "strangler.toml": [
        (
            "[stays]\n",
            '[loader]\nprocess = "web"\ncommand = ["python", "manage.py", "fill"]\n\n'
            '[traffic]\nscenario = "traffic:Traffic"\n\n[stays]\n',
        ),
    ],
}
SERVICE: Mapping[str, Sequence[Change]] = {
    "loans/views.py": [
        ("                    copy=copy,\n", "                    copy_id=copy.pk,\n"),
        ("                    branch=copy.branch,\n", "                    branch_id=copy.branch_id,\n"),
    ],
    "loans/ports/books.py": [
        ("from typing import", "from types import SimpleNamespace\nfrom typing import"),
        ("import Client\n", "import Client, RefusedError\n"),
        (
            '        return _client().post("/internal/books/lookup/find-copy", json={"pk": pk}).json()\n',
            "        try:\n"
            '            copy = _client().get(f"/en/books/copies/{pk}.json").json()\n'
            "        except RefusedError as error:\n"
            "            if error.status == 404:\n"
            "                return None\n"
            "            raise\n"
            '        title = SimpleNamespace(name=copy["title"])\n'
            '        return SimpleNamespace(pk=pk, branch_id=copy["branch"], title=title)\n',
        ),
        ("lookup: Lookup = MissingLookup()", "lookup: Lookup = RemoteLookup()"),
    ],
    "loans/management/commands/remind.py": [('.select_related("reader")', "")],
}
# Which copies each client borrows, and what the desk answers to an extension.
TRAFFIC: Mapping[str, Sequence[Change]] = {
    "traffic.py": [
        (
            'CREATE_BORROW_COPY = undecided("which copy does POST /en/desk/borrow/ take? '
            'Nothing that a client can ask shows one")\n',
            "CREATE_BORROW_COPY = lambda visit: str(\n"
            '    uuid5(NAMESPACE_URL, f"copy-{(visit.number * 16 + visit.count % 16) % 3000}")\n)\n',
        ),
        (
            "from typing import Any, NamedTuple\n",
            "from typing import Any, NamedTuple\nfrom uuid import NAMESPACE_URL, uuid5\n",
        ),
        (
            '        yield Operation("POST", f"{desk.path}/extend/", form=body, headers=self.headers)\n',
            '        due = lambda answer: {"due_on": answer.json()["due_on"]}\n'
            '        told = lambda answer: [update("loans", "loans_loan", desk.key, due(answer))]\n'
            '        yield Operation("POST", f"{desk.path}/extend/", form=body, headers=self.headers, told=told)\n',
        ),
        (
            "    insert,\n    undecided,\n)",
            "    insert,\n    update,\n)",
        ),
    ]
}


def write(folder: Path, changes: Mapping[str, Sequence[Change]]) -> int:
    """Makes the changes; returns how many lines were written or taken away.

    Raises:
        AssertionError: a file is not as it was when these changes were written.
    """
    lines = 0
    for name, several in changes.items():
        text = (folder / name).read_text()
        for old, new in several:
            assert text.count(old) == 1, f"{name}: {old!r}"
            text = text.replace(old, new)
            lines += len([*_changed(old, new)])
        (folder / name).write_text(text)
    return lines


def _changed(old: str, new: str) -> Iterator[str]:
    before = old.splitlines()
    for line in new.splitlines():
        if line.strip() and line not in before:
            yield line
    if not new:
        yield old
