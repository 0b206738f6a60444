from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_POST
from works.models import Work

from fairs.models import Entry, Fair


def fair(request, year, slug):
    return HttpResponse(Fair.objects.get(slug=slug))


@require_POST
def enter(request, pk):
    Entry.objects.create(fair_id=pk, work_id=request.POST["work"])
    Work.objects.filter(pk=request.POST["work"]).update(best_at=pk)
    return HttpResponse()


def page(request, page, part):
    return HttpResponse(f"{page}/{part}")
