from books.models import Copy


def find_copy(pk):
    """The copy, with its title; None if there is none."""
    return Copy.objects.select_related("title").filter(pk=pk).first()
