from django.core.management.base import BaseCommand

from loans.models import Loan
from notices.sending import tell


class Command(BaseCommand):
    help = "Tells each reader of what is late."

    def handle(self, **options):
        count = 0
        for loan in Loan.objects.late().select_related("reader"):
            tell(loan.reader_id, f"{loan} was due on {loan.due_on}", about=loan)
            count += 1
        self.stdout.write(f"{count} reminded")
