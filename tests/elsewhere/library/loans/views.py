import datetime

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.decorators.http import require_POST
from django.views.generic import FormView, ListView

from common.money import euros
from loans.forms import BorrowForm, ReturnForm
from loans.models import Loan, Passage, Remark


def passed(copy_id, *, out):
    Passage.objects.create(year=timezone.localdate().year, copy_id=copy_id, out=out)


class Mine(LoginRequiredMixin, ListView):
    template_name = "loans/mine.html"
    paginate_by = 20

    def get_queryset(self):
        mine = Loan.objects.filter(reader=self.request.user).order_by("-created_at")
        return mine.prefetch_related("reasons", "extensions")


class Borrow(LoginRequiredMixin, FormView):
    form_class = BorrowForm
    template_name = "loans/borrow.html"
    success_url = reverse_lazy("loans:mine")

    def form_valid(self, form):
        copy, days = form.cleaned_data["copy"], form.cleaned_data["days"] or settings.LOAN_DAYS
        if Loan.objects.out().filter(reader=self.request.user).count() >= settings.LOANS_AT_ONCE:
            form.add_error(None, "too many loans")
            return self.form_invalid(form)
        try:
            with transaction.atomic():
                self.loan = Loan.objects.create(
                    reader=self.request.user,
                    copy=copy,
                    branch=copy.branch,
                    slip=copy.title.name,
                    note=form.cleaned_data["note"],
                    due_on=timezone.localdate() + datetime.timedelta(days=days),
                )
        except IntegrityError:
            form.add_error("copy", "is with another reader")
            return self.form_invalid(form)
        passed(copy.pk, out=True)
        messages.success(self.request, f"{self.loan} is yours until {self.loan.due_on}")
        return super().form_valid(form)


@login_required
@require_POST
def bring_back(request, pk):
    loan = get_object_or_404(Loan, pk=pk, reader=request.user, returned_at=None)
    form = ReturnForm(request.POST)
    if not form.is_valid():
        return JsonResponse(form.errors, status=400)
    with transaction.atomic():
        loan.returned_at = timezone.now()
        loan.save(update_fields=["returned_at", "changed_at"])
        loan.reasons.set(form.cleaned_data["reasons"])
        if form.cleaned_data["remark"]:
            Remark.objects.create(
                content_type=ContentType.objects.get_for_model(Loan),
                object_id=loan.pk,
                text=form.cleaned_data["remark"],
            )
    passed(loan.copy_id, out=False)
    return redirect("loans:mine")


@login_required
@require_POST
def extend(request, pk):
    loan = get_object_or_404(Loan.objects.out(), pk=pk, reader=request.user)
    extension = loan.extend(14)
    return JsonResponse({"due_on": loan.due_on, "number": extension.number})


def slip(request, pk):
    """For the printer at the desk, which has no session."""
    loan = get_object_or_404(Loan, pk=pk)
    return HttpResponse(f"{loan.slip}\n{loan.due_on}\n{euros(loan.fee())}\n", content_type="text/plain; charset=utf-8")
