from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from members.models import Member


@require_http_methods(["GET", "POST"])
def member(request, pk):
    if request.method == "POST":
        Member.objects.filter(pk=pk).update(name=request.POST["name"])
    return HttpResponse()
