from django.contrib.contenttypes.models import ContentType

from notices.models import Notice


def tell(reader_id, text, about=None):
    """Puts a letter into the reader's box; returns its key."""
    kind = ContentType.objects.get_for_model(about) if about is not None else None
    return Notice.objects.create(
        reader_id=reader_id, text=text, content_type=kind, object_id=str(about.pk) if about is not None else ""
    ).pk
