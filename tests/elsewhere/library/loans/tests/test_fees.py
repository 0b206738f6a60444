import datetime

from django.test import SimpleTestCase

from loans.models import Loan


class FeeTests(SimpleTestCase):
    def test_a_loan_costs_nothing_until_it_is_due(self):
        today = datetime.date(2026, 5, 1)
        self.assertEqual(Loan(due_on=today).fee(today), 0)

    def test_each_day_costs_up_to_ten_euros(self):
        due = datetime.date(2026, 5, 1)
        self.assertEqual(Loan(due_on=due).fee(due + datetime.timedelta(days=3)), 60)
        self.assertEqual(Loan(due_on=due).fee(due + datetime.timedelta(days=300)), 1000)
