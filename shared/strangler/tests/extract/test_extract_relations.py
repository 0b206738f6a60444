"""What becomes of relations to what stays: the same columns, in the same tables, without a constraint."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import Small
from strangler.extract.draft import Kind

FILES = {
    "accounts/models.py": """
        from django.contrib.auth.models import AbstractUser

        class User(AbstractUser):
            pass
    """,
    "common/__init__.py": "",
    "common/models.py": """
        from django.conf import settings
        from django.db import models

        class Stamped(models.Model):
            # Who wrote it.
            author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

            class Meta:
                abstract = True
    """,
    "stores/models.py": """
        import uuid
        from django.db import models

        class Shelf(models.Model):
            id = models.UUIDField(primary_key=True, default=uuid.uuid4)
            name = models.CharField(max_length=20)

        class Place(models.Model):
            code = models.CharField(max_length=12, primary_key=True)

        class Topic(models.Model):
            name = models.CharField(max_length=20, unique=True)

        class Order(models.Model):
            book = models.ForeignKey("catalog.Book", on_delete=models.CASCADE, related_name="orders")
    """,
    "catalog/managers.py": """
        from django.db import models

        class BookManager(models.Manager):
            def on(self, shelf):
                return self.filter(shelf__name=shelf)
    """,
    "catalog/models.py": """
        '''Books.'''

        from django.contrib.contenttypes.fields import GenericForeignKey
        from django.contrib.contenttypes.models import ContentType
        from django.db import models

        from common.models import Stamped
        from stores.models import Shelf, Topic

        from .managers import BookManager


        class Book(Stamped):
            title = models.CharField(max_length=100)  # as printed
            shelf = models.ForeignKey(
                Shelf,
                verbose_name="where it is",
                null=True,
                on_delete=models.PROTECT,  # nobody takes a full shelf away
                related_name="books",
            )
            place = models.OneToOneField("stores.Place", on_delete=models.CASCADE)
            kind = models.ForeignKey(Topic, models.CASCADE, to_field="name", db_column="kind_name", db_index=False)
            topics = models.ManyToManyField(Topic, related_name="+")
            objects = BookManager()

            class Meta:
                ordering = ("shelf__name", "title")
                unique_together = [("shelf", "title")]
                indexes = [models.Index(fields=["kind", "-title"], name="by_kind")]
                constraints = [
                    models.CheckConstraint(condition=models.Q(shelf__isnull=False) | models.Q(title=""), name="set"),
                ]


        class RareBook(Book):
            class Meta:
                proxy = True


        class Copy(models.Model):
            book = models.ForeignKey(Book, on_delete=models.CASCADE)
            same = models.ForeignKey("self", null=True, on_delete=models.CASCADE)


        class Note(models.Model):
            content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
            object_id = models.PositiveIntegerField()
            about = GenericForeignKey()
            picture = models.FileField(upload_to="notes")
    """,
}
APPS = ("accounts", "stores", "catalog")
USER = 'AUTH_USER_MODEL = "accounts.User"'
TABLES = "catalog_book catalog_book_topics catalog_copy catalog_note"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.written(tmp_path_factory.mktemp("books"), FILES, *APPS, more=USER)


def migration_of(service: Path) -> str:
    return (service / "catalog/migrations/0001_initial.py").read_text()


def test_keys_point_at_models_without_rows(small: Small, tmp_path: Path) -> None:
    cut = small.drafted(TABLES)
    models = cut.text("catalog/models.py")

    assert '"standins.Shelf",\n        db_constraint=False,\n        verbose_name="where it is"' in models
    assert "on_delete=models.PROTECT,  # nobody takes a full shelf away" in models
    assert 'models.OneToOneField("standins.Place", db_constraint=False, on_delete=models.CASCADE)' in models
    assert 'models.ForeignKey("standins.Topic", models.CASCADE, db_constraint=False, to_field="name"' in models
    assert 'topics = LooseManyToManyField("standins.Topic", db_constraint=False, related_name="+")' in models
    assert 'ordering = ("title",)' in models
    assert 'unique_together = [("shelf", "title")]' in models
    assert "from stores.models" not in models
    assert '"self", null=True, on_delete=models.CASCADE)' in models
    stand_ins = cut.text("standins/models.py")
    assert "id = models.UUIDField(primary_key=True)" in stand_ins
    assert "code = models.CharField(max_length=12, primary_key=True)" in stand_ins
    assert "name = models.CharField(max_length=20, unique=True)" in stand_ins
    cut.migration(tmp_path)
    made = migration_of(tmp_path)
    assert "db_column='kind_name'" in made
    assert "RareBook" in made


def test_numbers_have_the_columns_of_the_relations(small: Small, tmp_path: Path) -> None:
    cut = small.drafted(TABLES, relations="numbers")
    models = cut.text("catalog/models.py")

    assert "shelf_id = models.UUIDField(" in models
    assert "db_index=True," in models
    assert "# nobody takes a full shelf away" in models
    assert "place_id = models.CharField(max_length=12, unique=True)" in models
    assert 'kind_id = models.CharField(max_length=20, db_column="kind_name")' in models
    assert 'unique_together = [("shelf_id", "title")]' in models
    assert 'fields=["kind_id", "-title"]' in models
    assert "models.Q(shelf_id__isnull=False)" in models
    assert "author_id = models.BigIntegerField(db_index=True, null=True)" in cut.text("common/models.py")
    cut.migration(tmp_path)
    made = migration_of(tmp_path)
    assert "('kind_id', models.CharField(db_column='kind_name', max_length=20))" in made
    assert "('author_id', models.BigIntegerField(db_index=True, null=True))" in made


def test_what_a_person_decides_of_relations_is_listed(small: Small) -> None:
    cut = small.drafted(TABLES)

    assert len(cut.said(Kind.REFERENCE, "catalog.Book.shelf points at stores_shelf")) == 1
    assert cut.said(Kind.REFERENCE, "catalog.Note.about is a generic key")[0].open
    assert cut.said(Kind.REFERENCE, "numbers of content types")
    assert cut.said(Kind.REFERENCE, "catalog.Book.author points at accounts_user")[0].place == "common/models.py:6"
    assert cut.said(Kind.CASCADE, "catalog.Book.place says CASCADE")
    assert cut.said(Kind.CASCADE, "stores.Order.book says CASCADE")
    assert cut.said(Kind.FILE, "Note names files (FileField)")[0].open
    assert cut.said(Kind.QUERY, "filter(shelf__name=…) joins stores_shelf")[0].place == "catalog/managers.py:5"
    assert cut.said(Kind.REFERENCE, "ordering")[0].place.startswith("catalog/models.py")


def test_a_join_that_stays_takes_its_field_along(small: Small) -> None:
    cut = small.drafted("catalog_book catalog_copy catalog_note")

    assert "topics" not in cut.text("catalog/models.py")
    assert cut.said(Kind.REFERENCE, "the field was taken out")[0].open


def test_files_without_a_change_are_the_same(small: Small) -> None:
    cut = small.drafted(TABLES)

    assert cut.is_same("catalog/managers.py")
    assert cut.text("catalog/models.py").startswith("'''Books.'''\n")
    assert "title = models.CharField(max_length=100)  # as printed" in cut.text("catalog/models.py")
