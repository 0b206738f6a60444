"""What a visitor may fill in; the interface has the last word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django import forms

from storefront.cart import MOST_PIECES

ORDERINGS = {
    "id": "A bit of all",
    "name": "Name",
    "price": "Lowest price",
    "-price": "Highest price",
    "-updated_at": "Newest",
}


class _Told(forms.Form):
    """A form that can show what the interface has said of it."""

    def show(self, fields: Mapping[str, Sequence[str]], otherwise: str) -> None:
        """Each text at its field; ``otherwise`` above the form, where no text has a field here."""
        shown = False
        for name, texts in fields.items():
            if name in self.fields:
                shown = True
                self.add_error(name, list(texts))
        if not shown:
            self.add_error(None, otherwise)


class LoginForm(_Told):
    email = forms.EmailField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        max_length=128, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class RegistrationForm(_Told):
    full_name = forms.CharField(
        max_length=200, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = forms.EmailField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        max_length=128,
        strip=False,
        help_text="At least eight characters, and not a common word.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class CatalogueForm(forms.Form):
    """What is looked for. A value that cannot be meant counts as none."""

    search = forms.CharField(max_length=200, required=False)
    category = forms.SlugField(max_length=120, required=False)
    ordering = forms.ChoiceField(choices=list(ORDERINGS.items()), required=False)
    cursor = forms.CharField(max_length=500, required=False)

    def asked(self) -> dict[str, str]:
        """Each field's value, empty where there is none."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class PiecesForm(forms.Form):
    pieces = forms.IntegerField(min_value=0, max_value=MOST_PIECES, label="Quantity")
