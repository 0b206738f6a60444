"""What lets a row of this side belong to an account of another side, as Django's code writes it.

``invoice.owner = request.user`` and ``Invoice(owner=request.user)`` ask whether the user is an instance of the model
that the foreign key points at. Where the accounts are another side's, that is a model without rows, and the user is as
`chassis.identity.remote.user_of` makes it.
"""

from __future__ import annotations

from typing import Any

from django.db.models.base import ModelBase

from chassis.identity.remote import Told


class AccountBase(ModelBase):
    """The metaclass of a model that stands in for accounts of another side: who makes a request is one of them.

    A relation to such a model takes the user of a request, and keeps its key. Nothing is read or written there.
    """

    def __instancecheck__(self, instance: Any) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, Told)
