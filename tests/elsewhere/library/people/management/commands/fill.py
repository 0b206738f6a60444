import uuid

from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from django.db import transaction

from books.models import Copy, Subject, Title
from branches.models import Branch
from loans.models import Loan, Reason
from people.models import Reader

PIN = "2580-at-the-desk"


def numbered(kind, number):
    """The same key for the same thing, wherever it is asked for."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}-{number}")


class Command(BaseCommand):
    help = "Fills an empty library, for trying things out."

    def add_arguments(self, parser):
        parser.add_argument("--readers", type=int, default=400)
        parser.add_argument("--copies", type=int, default=4000)

    @transaction.atomic
    def handle(self, readers, copies, **options):
        north = Branch.objects.create(code="north", name="North")
        subject = Subject.objects.create(name="Novels")
        titles = Title.objects.bulk_create(
            Title(id=numbered("title", n), isbn=f"978{n:010}", name=f"Novel {n}") for n in range(max(1, copies // 4))
        )
        Title.subjects.through.objects.bulk_create(
            Title.subjects.through(title=title, subject=subject) for title in titles
        )
        Copy.objects.bulk_create(
            Copy(
                id=numbered("copy", n), title=titles[n % len(titles)], branch=north, shelf="A1", number=n // len(titles)
            )
            for n in range(copies)
        )
        pin = make_password(PIN)
        people = Reader.objects.bulk_create(
            Reader(id=numbered("reader", n), card=f"R{n}", password=pin, home=north) for n in range(readers)
        )
        Reason.objects.bulk_create(Reason(code=code, says=code) for code in ("late", "wet", "torn"))
        Loan.objects.bulk_create(
            Loan(
                reader=reader,
                copy_id=numbered("copy", copies - 1 - n),
                branch=north,
                slip="before the move",
                borrowed_on="2026-01-01",
                due_on="2026-02-01",
            )
            for n, reader in enumerate(people[: copies // 10])
        )
        self.stdout.write(f"{readers} readers, {copies} copies")
