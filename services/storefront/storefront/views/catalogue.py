"""Looking around: the shelves, and one product."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from storefront.forms import ORDERINGS, CatalogueForm
from storefront.interface import Category
from storefront.pages import is_part, page, visitor_of


@require_safe
def browse(request: HttpRequest) -> HttpResponse:
    """Products that were looked for; of a part, only their list, or what follows of it."""
    api = visitor_of(request).api
    asked = CatalogueForm(request.GET).asked()
    # By name a whole page would be of one kind.
    found = api.products(**{**asked, "ordering": asked["ordering"] or next(iter(ORDERINGS))})
    more = {name: value for name, value in {**asked, "cursor": found.cursor}.items() if value}
    context = {
        "asked": asked,
        "products": found.results,
        "more": f"{reverse('browse')}?{urlencode(more)}" if found.cursor else "",
    }
    if is_part(request):
        answer: HttpResponse = page(request, "part_products" if asked["cursor"] else "part_results", context)
    else:
        departments = api.categories()
        department, shelf = _chosen(departments, asked["category"])
        context |= {"departments": departments, "department": department, "shelf": shelf, "orderings": ORDERINGS}
        answer = page(request, "browse", context)
    answer.headers["Vary"] = "HX-Request"
    return answer


@require_safe
def product(request: HttpRequest, product: int) -> HttpResponse:
    """One product, with its price and whether it is there."""
    api = visitor_of(request).api
    found = api.product(product)
    departments = api.categories()
    known = {each.id: (each, None) for each in departments}
    known |= {shelf.id: (each, shelf) for each in departments for shelf in each.shelves}
    department, shelf = known.get(found["category"], (None, None))
    context = {"product": found, "department": department, "shelf": shelf}
    response: HttpResponse = page(request, "product", context)
    return response


def _chosen(departments: list[Category], slug: str) -> tuple[Category | None, Category | None]:
    for department in departments:
        if department.slug == slug:
            return department, None
        for shelf in department.shelves:
            if shelf.slug == slug:
                return department, shelf
    return None, None
