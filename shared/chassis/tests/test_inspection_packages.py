"""What reading a function tells of what packages write that are no app."""

from __future__ import annotations

import textwrap

import pytest
from chassis.inspection.reading import Reader
from modules import tables

PACKAGED = """
class Labelled:
    def create(self, data):
        labels = data.pop("labels", ())
        return self._labelled(super().create(data), labels)
    def update(self, row, data): return self._labelled(super().update(row, data), ())
    def _labelled(self, row, labels): return row
class Plain:
    def work(self): Book.objects.create()
def save_all(rows):
    for row in rows: row.save()
def on_its_own(): Book.objects.create()
"""


@pytest.mark.parametrize(
    "source",
    {
        "a mixin of a serializer": """
            class S(kit.Labelled, serializers.ModelSerializer):
                class Meta:
                    model = Book
                    fields = ()
            def act(r): S(data=r).save()
        """,
        "a base": "class Desk(kit.Plain): pass\ndef act(r): Desk().work()",
        "a function that is given rows": "def act(r): kit.save_all(Book.objects.all())",
    }.values(),
)
def test_a_package_that_is_no_app_is_read_where_it_works_for_the_project(written, source):
    kit = written(PACKAGED, folder="site-packages")
    module = written(f"import {kit.__name__} as kit\n{textwrap.dedent(source)}")

    assert tables(Reader(lambda table: table == "library_book"), module.act) == {"library_book"}


@pytest.mark.parametrize(
    "source",
    {
        "an object for a server of a package": """
            class Desk:
                def __init__(self): self.put = put
                async def handle_it(self, x): await self.put(x)
            def put(x): Book.objects.create()
            def act(r): kit.Server(Desk()).start()
        """,
        "a class for a server of Python's own": """
            from http.server import BaseHTTPRequestHandler, HTTPServer
            class Desk(BaseHTTPRequestHandler):
                def do_POST(self): Book.objects.create()
            def act(r): HTTPServer(("", 0), Desk).serve_forever()
        """,
    }.values(),
)
def test_what_is_given_to_a_server_is_called_by_it(written, source):
    kit = written(
        "class Server:\n    def __init__(self, handler): pass\n    def start(self): pass", folder="site-packages"
    )
    module = written(f"import {kit.__name__} as kit\n{textwrap.dedent(source)}")

    assert tables(Reader(lambda table: table == "library_book"), module.act) == {"library_book"}


@pytest.mark.parametrize("call", ["str(Desk())", "ValueError(Desk())", "print(Desk())", "JsonResponse(Desk())"])
def test_an_object_that_is_only_shown_is_not_called(written, call):
    module = written(
        "from django.http import JsonResponse\n"
        "class Desk:\n    def work(self): Book.objects.create()\n"
        f"def act(r): return {call}"
    )

    assert tables(Reader(lambda table: table == "library_book"), module.act) == set()


def test_what_a_package_does_for_itself_is_not_read(written):
    kit = written(PACKAGED, folder="site-packages")
    module = written(f"import {kit.__name__} as kit\ndef act(r): kit.on_its_own()")

    assert tables(Reader(lambda table: table == "library_book"), module.act) == set()
