"""The shop with services that `strangler extract` has cut out of its monolith, not with those that people have written.

What its work lists leave open is decided as the people did: by lines of their own, or by a file of theirs where one was
written anew.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.checks import environment
from tests.elsewhere import by_hand
from tests.stack import ROOT, STRANGLER

CAPABILITIES = ("users", "products", "orders")
# Who orders ask, and how: the answers of the ports.
WRITTEN: Mapping[str, Sequence[str]] = {"orders": ("orders/customers.py", "orders/shelves.py")}
CHANGED: Mapping[str, Mapping[str, Sequence[by_hand.Change]]] = {
    "products": {
        "products/services.py": [
            ("create(**fields, stock=stock, edited_by=by)", "create(**fields, stock=stock, edited_by_id=by.pk)"),
            ('new_price=changes["price"], changed_by=by)', 'new_price=changes["price"], changed_by_id=by.pk)'),
            ("        setattr(current, name, value)\n    current.edited_by = by\n",
             "        setattr(current, name, value)\n    current.edited_by_id = by.pk\n"),
            ('[*changes, "edited_by", "updated_at"]', '[*changes, "edited_by_id", "updated_at"]'),
            ("    current.stock += delta\n    current.edited_by = by\n",
             "    current.stock += delta\n    current.edited_by_id = by.pk\n"),
            ('["stock", "edited_by", "updated_at"]', '["stock", "edited_by_id", "updated_at"]'),
            ("        product.edited_by = by\n", "        product.edited_by_id = by.pk\n"),
        ]
    },
    "orders": {"orders/api.py": [
        # A product that is not known here is not on its way here either.
        ("        found = [seam.await_row(Product, pk, request=request._request) for pk in error.product_ids]\n"
         "        if not all(product and product.is_active for product in found):\n            raise\n"
         "    return checkout.place(**wanted)\n", "        raise\n"),
        # A token outlives its account by some minutes.
        ("    serializer_class = serializers.OrderSerializer\n\n    def get_queryset",
         "    serializer_class = serializers.OrderSerializer\n\n"
         "    def perform_authentication(self, request: Request) -> None:\n"
         "        super().perform_authentication(request)\n"
         "        if request.user and request.user.is_authenticated and "
         "selectors.is_forgotten(user_id=request.user.pk):\n"
         "            raise _forgotten()\n\n"
         "    def get_queryset"),
    ]},
}  # fmt: skip


def write(folder: Path) -> Path:
    """Writes the three services below the folder, and a strangler.toml which starts them; returns the latter.

    Raises:
        AssertionError: `extract` has failed, or a file is not as it was when the decisions were written down.
    """
    config = folder / "strangler.toml"
    text = (ROOT / "strangler.toml").read_text()
    # All others are those of people.
    stays = rf'^directory = "(?!services/(?:{"|".join(CAPABILITIES)})")([^"]+)"'
    config.write_text(re.sub(stays, rf'directory = "{ROOT}/\1"', text, flags=re.MULTILINE))
    for name in CAPABILITIES:
        words = ["extract", name, "--to", f"services/{name}", "--relations", "numbers"]
        done = subprocess.run(
            [STRANGLER, *words], cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        service = folder / "services" / name
        for file in WRITTEN.get(name, ()):
            shutil.copy(ROOT / "services" / name / file, service / file)
        by_hand.write(service, CHANGED.get(name, {}))
    return config
