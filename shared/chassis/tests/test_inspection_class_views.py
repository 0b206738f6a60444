"""What reading a view that is made from a class tells of what its frameworks write."""

from __future__ import annotations

import pytest
from chassis.inspection import urls
from chassis.inspection.reading import Reader
from modules import tables
from rest_framework.viewsets import ModelViewSet

VIEWS = """
class BookSerializer(serializers.ModelSerializer):
    class Meta:
        model = Book
        fields = ("title",)

class BookForm(ModelForm):
    class Meta:
        model = Book
        fields = ("title",)

class List(generics.ListCreateAPIView):
    queryset = Book.objects.all()
    serializer_class = BookSerializer

class Chosen(generics.ListCreateAPIView):
    queryset = Book.objects.all()
    def get_serializer_class(self):
        return BookSerializer
    def perform_create(self, serializer):
        Visit.objects.create()

class One(generics.RetrieveUpdateDestroyAPIView):
    queryset = Book.objects.all()
    serializer_class = BookSerializer

class Form(CreateView):
    form_class = BookForm

class Fields(CreateView):
    model = Book
    fields = ("title",)

class Gone(DeleteView):
    model = Book

class Shown(DetailView):
    model = Book

class Around(DetailView):
    model = Book
    def dispatch(self, request, *args, **kwargs):
        self.request.user.save()
        return super().dispatch(request, *args, **kwargs)

class Permission:
    def has_permission(self, request, view):
        Visit.objects.create()
        return True

class Permitted(generics.RetrieveAPIView):
    queryset = Book.objects.all()
    permission_classes = [Permission]
"""


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("List", "GET", set()),
        ("List", "POST", {"library_book"}),
        ("Chosen", "POST", {"library_visit"}),
        ("One", "GET", set()),
        ("One", "PATCH", {"library_book"}),
        ("One", "DELETE", {"library_book"}),
        ("Form", "GET", set()),
        ("Form", "POST", {"library_book"}),
        ("Fields", "POST", {"library_book"}),
        ("Gone", "GET", set()),
        ("Gone", "POST", {"library_book"}),
        ("Shown", "GET", set()),
        ("Around", "GET", {"auth_user"}),
        ("Permitted", "GET", {"library_visit"}),
    ],
)
def test_a_view_made_from_a_class_writes_what_its_frameworks_write(written, name, method, expected):
    view = getattr(written(VIEWS), name).as_view()

    assert tables(Reader(lambda table: True), view, method) == expected


def test_a_view_of_one_model_writes_no_other(written):
    module = written("class V(DeleteView): pass\nclass W(V): model = Visit")
    reader = Reader(lambda table: True)
    books = module.V.as_view(model=module.Book)

    assert tables(reader, books, "POST") == {"library_book"}
    assert tables(reader, module.W.as_view(), "POST") == {"library_visit"}
    assert tables(reader, module.V.as_view(model=module.Visit), "POST") == {"library_visit"}


def test_a_view_given_its_model_by_its_pattern_writes_it(written):
    view = written("class V(DeleteView): pass").V.as_view(model=__import__("library.models").models.Book)

    assert tables(Reader(lambda table: True), view, "POST") == {"library_book"}


def test_a_viewset_does_not_answer_what_its_class_leaves_out():
    class Readers(ModelViewSet):
        http_method_names = ("get", "post")

    view = Readers.as_view({"get": "list", "post": "create", "delete": "destroy"})

    assert urls.actions_of(view) == {"GET": "list", "POST": "create"}
