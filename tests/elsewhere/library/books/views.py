from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.generic import ListView

from books.models import Copy, Title
from loans.availability import copies_out


class TitleList(ListView):
    model = Title
    paginate_by = 50
    template_name = "books.html"


def title(request, pk):
    found = get_object_or_404(Title.objects.prefetch_related("copies", "subjects"), pk=pk)
    copies = list(found.copies.all())
    return JsonResponse(
        {
            "name": found.name,
            "subjects": [subject.name for subject in found.subjects.all()],
            "copies": len(copies),
            "out": sum(copies_out(copy.pk) for copy in copies),
        }
    )


def copy(request, pk):
    found = get_object_or_404(Copy.objects.select_related("title"), pk=pk)
    return JsonResponse({"id": found.pk, "title": found.title.name, "branch": found.branch_id, "shelf": found.shelf})
