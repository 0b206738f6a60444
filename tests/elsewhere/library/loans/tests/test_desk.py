from django.contrib.auth import get_user_model
from django.test import TestCase
from django.urls import reverse

from books.models import Copy, Title
from branches.models import Branch
from loans.models import Loan, Passage, Remark


class DeskTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        branch = Branch.objects.create(code="north", name="North")
        title = Title.objects.create(isbn="9780000000001", name="The Winding Stair")
        cls.copy = Copy.objects.create(title=title, branch=branch, shelf="B2", number=1)
        cls.reader = get_user_model().objects.create_user("1001", "a-long-password")
        cls.other = get_user_model().objects.create_user("1002", "a-long-password")

    def test_a_reader_borrows_extends_and_returns(self):
        self.client.force_login(self.reader)
        borrowed = self.client.post(reverse("loans:borrow"), {"copy": self.copy.pk, "note": "for the evening class"})
        self.assertRedirects(borrowed, reverse("loans:mine"))
        loan = Loan.objects.get()
        self.assertEqual((loan.reader, loan.slip), (self.reader, "The Winding Stair"))
        self.assertEqual(self.client.post(reverse("loans:extend", args=[loan.pk])).json()["number"], 1)
        self.client.post(reverse("loans:back", args=[loan.pk]), {"remark": "wet from the rain"})
        self.assertEqual(Remark.objects.get().about, loan)
        self.assertEqual(Passage.objects.count(), 2)

    def test_a_copy_is_with_one_reader(self):
        self.client.force_login(self.reader)
        self.client.post(reverse("loans:borrow"), {"copy": self.copy.pk})
        self.client.force_login(self.other)
        self.assertContains(self.client.post(reverse("loans:borrow"), {"copy": self.copy.pk}), "another reader")

    def test_a_stranger_is_sent_to_the_login(self):
        self.assertEqual(self.client.get(reverse("loans:mine")).status_code, 302)
