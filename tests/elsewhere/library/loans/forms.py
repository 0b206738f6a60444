from django import forms
from django.utils.translation import gettext_lazy as _

from books.lookup import find_copy
from loans.models import Reason


class BorrowForm(forms.Form):
    copy = forms.UUIDField()
    days = forms.IntegerField(min_value=1, max_value=90, required=False)
    note = forms.CharField(max_length=80, required=False)

    def clean_copy(self):
        found = find_copy(self.cleaned_data["copy"])
        if found is None:
            raise forms.ValidationError(_("There is no such copy."))
        return found


class ReturnForm(forms.Form):
    reasons = forms.ModelMultipleChoiceField(Reason.objects.all(), to_field_name="code", required=False)
    remark = forms.CharField(required=False, max_length=500)
