"""What becomes of imports that lead out of what moves: taken along, made a port, or listed; nothing goes in silence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from small import Small, run
from strangler.domain.errors import ConfigurationError
from strangler.extract.draft import Kind

FILES = {
    "common/__init__.py": "",
    "common/texts.py": """
        import re

        # Words of a title.
        WORD = re.compile(r"[a-z]+")

        def words(text):
            return WORD.findall(text)
    """,
    "common/money.py": """
        from decimal import Decimal

        from common.texts import words

        def amount(text):
            return Decimal(words(text)[0])
    """,
    "common/mixed.py": """
        from people.models import Person

        def plain(value):
            return value or 0

        def person(pk):
            return Person.objects.get(pk=pk)
    """,
    "common/long.py": "\n".join(f"def long_{n}():\n    return {n}\n" for n in range(200)),
    "common/act.py": """
        import logging
        logging.basicConfig()

        def act():
            return 1
    """,
    "people/models.py": """
        from django.db import models

        class Person(models.Model):
            name = models.CharField(max_length=10)

            class Rank(models.TextChoices):
                GUEST = "guest"

        class Badge(models.Model):
            person = models.ForeignKey(Person, on_delete=models.CASCADE)
    """,
    "people/services.py": """
        from people.models import Person

        class UnknownError(Exception):
            '''Nobody has the name.'''

        LIMIT = 3

        def find(name: str, *, limit: int = LIMIT, among=()) -> int | None:
            '''The person's number. Raises UnknownError.'''
            return Person.objects.filter(name=name).values_list("pk", flat=True).first()

        def checked(function):
            if Person.objects.exists():
                return function
            return function

        async def later(*names, **more) -> Person:
            return Person(name=names[0])
    """,
    "people/hub.py": "from people.services import find, LIMIT\n",
    "works/__init__.py": "",
    "works/models.py": """
        from django.db import models

        from common import texts

        class Work(models.Model):
            title = models.CharField(max_length=10)

            def words(self):
                return texts.words(self.title)
    """,
    "works/inner/__init__.py": "",
    "works/inner/deep.py": """
        from __future__ import annotations

        import typing
        from typing import TYPE_CHECKING

        from ..models import Work as Other
        from .. import models as same
        from . import beside
        from .beside import beside_too

        if TYPE_CHECKING:
            from people.models import Person

        def deep(person: Person) -> Other:
            return same.Work.objects.first()
    """,
    "works/inner/beside.py": """
        def beside_too():
            # inside
            from people.services import find
            return find("x")
    """,
    "works/services.py": """
        import people.services
        import people.services as folk
        import common.money as money
        from common.texts import *
        from common import long as lengthy
        from common.mixed import plain, person as by_number
        from common.act import act
        from people.hub import find as found
        from people.models import Badge, Person
        from people.services import checked, UnknownError, LIMIT

        try:
            from people.extras import extra
        except ImportError:
            extra = None

        try:
            from common.mixed import plain as tried
        except ImportError:
            tried = None

        @checked
        def first(name):
            try:
                return people.services.find(name), folk.later(name), folk.LIMIT
            except UnknownError:
                return found(name) or Badge.objects.count()

        def second(text):
            return words(text), money.amount(text), plain(0), by_number(1), lengthy.long_1(), act(), Person.Rank.GUEST
    """,
    "works/urls.py": "urlpatterns = []\n",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.written(tmp_path_factory.mktemp("works"), FILES, "people", "works")


def test_small_and_pure_modules_come_along(small: Small) -> None:
    cut = small.drafted("works_work")

    assert cut.is_same("common/texts.py")
    assert cut.is_same("common/money.py")
    assert cut.is_same("works/models.py")
    assert "import common.money as money\nfrom common.texts import *\n" in cut.text("works/services.py")
    assert cut.said(Kind.IMPORT, "common.money was taken along")[0].open is False


def test_of_a_module_with_more_only_what_is_needed_comes_along(small: Small) -> None:
    mixed = small.drafted("works_work").text("common/mixed.py")

    assert "def plain(value)" in mixed
    assert "Person" not in mixed


def test_what_has_models_is_long_or_acts_becomes_a_port(small: Small) -> None:
    cut = small.drafted("works_work", relations="numbers")
    services = cut.text("works/services.py")

    for line in (
        "from works.ports.people import people\n",
        "from works.ports.people import services as folk\n",
        "from works.ports.people import find as found\n",
        "from works.ports.people import Badge\n",
        "from works.ports.common import person as by_number\n",
        "from works.ports.people import UnknownError\n",
    ):
        assert line in services
    assert cut.has("common/long.py")
    assert "long_1()" in cut.text("common/long.py")
    assert "long_2()" not in cut.text("common/long.py")
    assert cut.said(Kind.IMPORT, "people.models.Badge did not come along")[0].open
    assert cut.said(Kind.IMPORT, "people.models.Badge")[0].place == "works/services.py:9"
    assert cut.said(Kind.IMPORT, "common.mixed.person did not come along")


def test_a_port_has_exactly_the_calls_that_are_made(small: Small) -> None:
    port = small.drafted("works_work", relations="numbers").text("works/ports/people.py")

    assert "def find(self, name: str, *, limit: int = ..., among: Any = ()) -> int | None:" in port
    assert "The person's number. Raises UnknownError." in port
    assert "Used at works/" in port
    assert "async def later(self, *names: Any, **more: Any) -> Any:" in port
    assert "class UnknownError(Exception):\n    '''Nobody has the name.'''" in port
    assert "LIMIT = 3" in port
    assert 'GUEST = "guest"' in port
    assert "class RemoteServices(Services):" in port
    ast.parse(port)


def test_a_service_with_ports_is_imported_and_its_ports_raise(small: Small, tmp_path: Path) -> None:
    cut = small.drafted("works_work", relations="numbers")
    cut.migration(tmp_path)

    asked = (
        "import works.inner.deep, works.inner.beside\n"
        "from works import services\n"
        "from works.ports import ElsewhereError\n"
        "assert services.extra is None and services.tried(0) == 0 and services.LIMIT == 3\n"
        "for call in (lambda: services.first('x'), works.inner.beside.beside_too, lambda: services.by_number(1),\n"
        "             lambda: services.found('x'), lambda: services.Badge(),\n"
        "             lambda: services.people.services.find('x')):\n"
        "    try: call()\n"
        "    except ElsewhereError as error: print(error)\n"
        "    else: raise SystemExit('it did not raise')\n"
    )
    done = run(tmp_path, "shell", "--command", asked)

    assert done.returncode == 0, done.stderr
    assert "people.services.find is not in this service" in done.stdout


def test_imports_in_the_app_and_for_types_stay_or_are_followed(small: Small) -> None:
    deep = small.drafted("works_work", relations="numbers").text("works/inner/deep.py")

    assert "from ..models import Work as Other\nfrom .. import models as same\nfrom . import beside\n" in deep
    assert "if TYPE_CHECKING:\n    from works.ports.people import Person\n" in deep
    beside = small.drafted("works_work", relations="numbers").text("works/inner/beside.py")
    assert "    # inside\n    from works.ports.people import find\n" in beside


def test_a_file_that_cannot_be_read_is_refused_with_its_line(small: Small) -> None:
    path = small.folder / "works/urls.py"
    for content, said in ((b"urlpatterns = [\n", "works/urls.py:1"), (b"# fine\nx = '\xff'\n", "works/urls.py:2")):
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            with pytest.raises(ConfigurationError) as refused:
                small.drafted("works_work", relations="numbers")
        finally:
            path.write_bytes(before)
        assert refused.value.place == said


def test_without_its_dependency_it_names_the_extra(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strangler.extract.source.find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match="libcst") as refused:
        small.drafted("works_work", relations="numbers")

    assert "[extract]" in refused.value.remedy


def test_tables_without_a_model_are_refused(small: Small) -> None:
    with pytest.raises(ConfigurationError, match="none of its tables"):
        small.drafted("nobodys_table")


def test_measures_count_lines(small: Small) -> None:
    source = small.drafted("works_work", relations="numbers").source

    assert source.lines_taken > 40
    assert 0 < source.lines_changed < 20
    assert source.lines_written > 40


def test_models_that_stay_have_their_names_and_choices(small: Small) -> None:
    cut = small.drafted("works_work")

    assert "from standins.models import Badge\nfrom standins.models import Person\n" in cut.text("works/services.py")
    assert "class Rank(models.TextChoices):\n                GUEST" not in cut.text("standins/models.py")
    assert 'GUEST = "guest"' in cut.text("standins/models.py")
    assert cut.said(Kind.IMPORT, "people.models.Badge stays")[0].open
