"""The sandbox payment provider: a function in the process, with answers that are known in advance.

It stands in the place of a real provider's client. It calls nobody, so it may be asked inside the transaction of the
checkout; a client that uses the network may not.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from decimal import Decimal

from chassis.process import faults

DEFAULT_TOKEN = "tok_sandbox"  # noqa: S105
TRANSFER_TOKEN = "tok_transfer"  # noqa: S105
DECLINED_TOKEN = "tok_declined"  # noqa: S105
LIMIT = Decimal("10000.00")


class Answer(enum.Enum):
    AUTHORIZED = "authorized"  # the money is ours
    AWAITED = "awaited"  # a bank transfer, which takes its time
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Authorization:
    answer: Answer
    reference: str
    reason: str = ""


def authorize(*, amount: Decimal, token: str, reference: str) -> Authorization:
    """Declines ``tok_declined`` and every amount above the limit; ``tok_transfer`` pays later.

    ``reference`` is the shop's own. When it is asked again with the same one, the provider gives the same answer.
    """
    faults.slow("payment-provider")
    own = f"pay_{hashlib.sha256(reference.encode()).hexdigest()[:24]}"
    if token == DECLINED_TOKEN:
        return Authorization(Answer.DECLINED, own, "card_declined")
    if amount > LIMIT:
        return Authorization(Answer.DECLINED, own, "over_limit")
    if token == TRANSFER_TOKEN:
        return Authorization(Answer.AWAITED, own)
    return Authorization(Answer.AUTHORIZED, own)


def label(*, token: str) -> str:
    """How a saved token is shown to its owner."""
    return f"Sandbox card …{token[-4:]}"
