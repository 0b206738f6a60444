"""Models which have more than their own text: fields and halves from elsewhere, names that are loaded at run time."""

from __future__ import annotations

from pathlib import Path

import pytest
import tables
from servers import Cluster
from small import Cut, Small, run
from strangler.extract.draft import Kind

FILES = {
    "people/models.py": """
        from django.conf import settings
        from django.db import models

        class Dated(models.Model):
            made_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
            place = models.ForeignKey("people.Place", on_delete=models.PROTECT, related_name="%(class)s_here")

            class Meta:
                abstract = True

        class Place(models.Model):
            name = models.CharField(max_length=20)

            def shout(self):
                return self.name.upper()

        class Person(models.Model):
            name = models.CharField(max_length=20)
    """,
    "people/signals.py": "from django.dispatch import Signal\n\nopened = Signal()\n",
    "people/reports.py": "from people.models import Person\n",
    "people/forms.py": """
        from django import forms
        from people.models import Person

        class Remembering:
            seen = Person.objects.none()

            def remembered(self):
                return Person.objects.count()
    """,
    "eats/models.py": """
        '''Where to eat.'''
        from django.db import models

        from people.models import Dated, Person, Place


        class Eatery(Place):
            '''A place with a kitchen.'''

            stars = models.IntegerField(default=0)
            guests = models.ManyToManyField(Person, through="Visit", related_name="eateries")


        class Bar(Place):
            link = models.OneToOneField(Place, parent_link=True, primary_key=True, on_delete=models.CASCADE)
            late = models.BooleanField(default=False)


        class Guest(Person):
            class Meta:
                proxy = True


        class Visit(Dated):
            eatery = models.ForeignKey(Eatery, on_delete=models.CASCADE)
            person = models.ForeignKey(Person, on_delete=models.CASCADE)
            guest = models.ForeignKey(Guest, null=True, on_delete=models.CASCADE, related_name="+")

            class Meta:
                unique_together = [("eatery", "person")]


        class Meal(models.Model):
            visit = models.ForeignKey(Visit, on_delete=models.CASCADE)
            eaters = models.ManyToManyField("people.Person")
    """,
    "eats/services.py": """
        from importlib import import_module

        from django.apps import apps
        from django.db.models.signals import post_save
        from django.utils.module_loading import import_string

        Person = apps.get_model("people", "Person")
        Place = apps.get_model(
            "people.Place",  # by its label
        )
        Visit = apps.get_model("eats", "Visit")


        def hear(sender, **kwargs):
            return None


        post_save.connect(hear, "people.Place")


        def later():
            import_string("people.signals.opened").send(sender=None)
            return import_module("people.reports")
    """,
    "eats/forms.py": """
        from django import forms
        from django.db import models

        from people.forms import Remembering


        class Choice(Remembering, forms.Form):
            name = forms.CharField()
    """,
    "people/listening.py": """
        from django.db.models.signals import post_save


        def heard(sender, **kwargs):
            return None


        post_save.connect(heard, "eats.Visit")
    """,
}
TABLES = "eats_eatery eats_bar eats_visit eats_meal eats_meal_eaters"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.written(tmp_path_factory.mktemp("eats"), FILES, "people", "eats", more=tables.DATABASE)


@pytest.fixture(scope="module", params=["keys", "numbers"])
def cut(request: pytest.FixtureRequest, small: Small) -> Cut:
    return small.drafted(TABLES, relations=request.param)


@pytest.fixture(scope="module")
def service(cut: Cut, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    cut.migration(folder, more=tables.DATABASE)
    return folder


def test_its_tables_are_equal_and_nothing_points_out(
    small: Small, service: Path, clusters: tuple[Cluster, Cluster]
) -> None:
    monolith, other = clusters
    if not (small.folder / "eats/migrations").exists():
        assert run(small.folder, "makemigrations", "people", "eats").returncode == 0
    tables.migrated(small.folder, monolith, "eats_monolith")
    tables.migrated(service, other, "eats_service")

    names = TABLES.split()
    assert tables.tables(other, "eats_service", names) == tables.tables(monolith, "eats_monolith", names)
    assert tables.pointing_elsewhere(other, "eats_service", names) == []


def test_a_model_that_extends_one_that_stays_is_one_of_its_own(cut: Cut) -> None:
    models = cut.text("eats/models.py")

    assert "class Eatery(models.Model):\n    '''A place with a kitchen.'''\n" in models
    assert 'place_ptr = models.OneToOneField("standins.Place", db_constraint=False' in models
    assert "class Bar(models.Model):" in models
    assert "parent_link" not in models
    told = cut.said(Kind.REFERENCE, "eats.Eatery extends people.Place")
    assert [(one.place, one.open) for one in told] == [("eats/models.py:7", True)]
    assert cut.said(Kind.REFERENCE, "eats.Bar extends people.Place")[0].open


def test_a_proxy_of_what_stays_is_a_proxy_of_what_stands_in(service: Path) -> None:
    asked = (
        "from eats.models import Guest, Visit\n"
        "assert Guest._meta.proxy and Guest._meta.concrete_model._meta.db_table == 'people_person'\n"
        "assert not Visit._meta.get_field('eatery').remote_field.model._meta.proxy\n"
    )
    done = run(service, "shell", "--command", asked)
    assert done.returncode == 0, done.stderr


def test_an_abstract_model_of_an_app_that_stays_comes_along_without_what_stays(cut: Cut) -> None:
    people = cut.text("people/models.py")

    assert "class Dated(models.Model):" in people
    assert "class Person" not in people
    assert "settings.AUTH_USER_MODEL" not in people
    assert cut.said(Kind.REFERENCE, "eats.Visit.made_by points at auth_user")
    assert cut.said(Kind.REFERENCE, "eats.Visit.place points at people_place")


def test_a_relation_through_a_model_that_moves_leads_to_what_stands_in(small: Small) -> None:
    cut = small.drafted(TABLES)

    assert not cut.said(Kind.REFERENCE, "eats.Eatery.guests joins with people_person through eats.Visit")[0].open
    assert 'guests = models.ManyToManyField("standins.Person", through="Visit"' in cut.text("eats/models.py")
    assert "guest = models.ForeignKey(Guest, db_constraint=False, null=True" in cut.text("eats/models.py")


def test_where_relations_are_numbers_nothing_leads_through_the_model(small: Small) -> None:
    cut = small.drafted(TABLES, relations="numbers")

    assert "guests" not in cut.text("eats/models.py")
    assert cut.said(Kind.REFERENCE, "eats.Eatery.guests joins with people_person through eats.Visit")[0].open


def test_models_that_are_loaded_by_their_names_stand_in(cut: Cut, service: Path) -> None:
    services = cut.text("eats/services.py")

    assert 'Person = apps.get_model("standins", "Person")' in services
    assert '"standins.Place",  # by its label' in services
    assert 'Visit = apps.get_model("eats", "Visit")' in services
    assert cut.said(Kind.QUERY, 'get_model("people.Person")')[0].place == "eats/services.py:7"
    asked = "import eats.services as s; assert s.Person._meta.db_table == 'people_person'"
    done = run(service, "shell", "--command", asked)
    assert done.returncode == 0, done.stderr


def test_signals_and_modules_named_as_text_are_listed(cut: Cut) -> None:
    assert cut.said(Kind.SIGNAL, "eats/services.py:18")[0].open
    assert cut.said(Kind.SIGNAL, "people/listening.py:8")[0].open
    assert cut.said(Kind.IMPORT, 'import_string("people.signals.opened")')[0].place == "eats/services.py:22"
    assert cut.said(Kind.IMPORT, 'import_module("people.reports")')[0].place == "eats/services.py:23"


def test_a_port_can_be_a_base_beside_a_class_with_a_metaclass(cut: Cut, service: Path) -> None:
    done = run(service, "shell", "--command", "from eats.forms import Choice; assert Choice({'name': 'x'}).is_valid()")

    assert done.returncode == 0, done.stderr
    assert cut.said(Kind.IMPORT, "people.forms.Remembering did not come along")[0].open
