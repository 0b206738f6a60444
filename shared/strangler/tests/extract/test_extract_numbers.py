"""Relations that become numbers have other names: whatever names the old one is changed, or in the work list."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import Small
from strangler.extract.draft import Kind

FILES = {
    "people/models.py": """
        from django.db import models


        class Person(models.Model):
            name = models.CharField(max_length=80)
    """,
    "shelf/models.py": """
        from django.db import models
        from people.models import Person


        class Thing(models.Model):
            name = models.CharField(max_length=80)
            edited_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True)


        class Change(models.Model):
            thing = models.ForeignKey(Thing, on_delete=models.CASCADE)
            changed_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True)
    """,
    "shelf/services.py": """
        from shelf.models import Thing


        def rename(thing, name):
            thing.name = name
            thing.save(update_fields=["name", "edited_by"])


        def clear(things):
            Thing.objects.bulk_update(things, ["edited_by"])
    """,
    "shelf/inlines.py": """
        from django.contrib import admin


        class History(admin.TabularInline):
            extra = 0
    """,
    "shelf/admin.py": """
        from django.contrib import admin

        from shelf.inlines import History
        from shelf.models import Change, Thing


        class Facts(History):
            can_delete = False


        class Changes(Facts):
            model = Change
            raw_id_fields = ("changed_by",)


        @admin.register(Thing)
        class ThingAdmin(admin.ModelAdmin):
            inlines = (Changes,)
    """,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.written(tmp_path_factory.mktemp("shelf"), FILES, "people", "shelf")


def test_an_admins_class_is_known_by_the_bases_of_its_bases(small: Small, tmp_path: Path) -> None:
    cut = small.drafted("shelf_thing shelf_change", relations="numbers")

    assert "raw_id_fields = ()" in cut.text("shelf/admin.py")
    assert "Create model Change" in cut.migration(tmp_path)


def test_fields_that_are_written_by_name_are_in_the_list(small: Small) -> None:
    numbers = small.drafted("shelf_thing shelf_change", relations="numbers")

    for place, name in (("shelf/services.py:6", "save"), ("shelf/services.py:10", "bulk_update")):
        (one,) = numbers.said(Kind.QUERY, f'{name}(…) writes the field "edited_by", which is called edited_by_id')
        assert (one.place, one.open) == (place, True)
    assert not small.drafted("shelf_thing shelf_change").said(Kind.QUERY, "writes the field")
