"""What reading a function tells of what it writes and reads."""

from __future__ import annotations

from types import ModuleType

import pytest
from chassis.inspection import entries
from chassis.inspection.reading import Arguments, Reader
from chassis.inspection.values import Request
from modules import tables

WRITES = {
    "a manager": "def act(r): Book.objects.create(title='x')",
    "in a chain": "def act(r): Book.objects.filter(title='x').exclude(pk=1).update(title=F('title'))",
    "a row that was got": "def act(r): Book.objects.get(pk=1).delete()",
    "a row by a shortcut": "def act(r):\n    book = get_object_or_404(Book, pk=1)\n    book.save()",
    "a row by a shortcut of a query": "def act(r): get_object_or_404(Book.objects.all(), pk=1).save()",
    "a row that was made": "def act(r):\n    book = Book(title='x')\n    book.save()",
    "by annotation": "def act(r): other(None)\ndef other(book: Book): book.save()",
    "by annotation as text": "def act(r): other(None)\ndef other(book: 'Book | None'): book.save()",
    "by annotation of a list": "def act(r): other([])\ndef other(books: list[Book]):\n    for b in books: b.save()",
    "by annotation of a query": "def act(r): other(None)\ndef other(books: QuerySet[Book]): books.delete()",
    "by a keyword": "def act(r): other(book=Book.objects.first())\ndef other(*, book): book.save()",
    "by a cast": "def act(r): cast(Book, r).save()",
    "by what a function returns": "def act(r): other().save()\ndef other(): return Book.objects.get(pk=1)",
    "by what a function says that it returns": "def act(r): other(r).save()\ndef other(x) -> Book: return x",
    "each of several": "def act(r):\n    for n, book in enumerate(Book.objects.all()): book.save()",
    "in a comprehension": "def act(r): return [book.delete() for book in Book.objects.all()]",
    "a pair": "def act(r):\n    book, new = Book.objects.get_or_create(title='x')\n",
    "a row of a pair": "def act(r):\n    book, _ = (Book.objects.first(), 1)\n    book.save()",
    "in SQL": "def act(r):\n    with connection.cursor() as c: c.execute('INSERT INTO library_book VALUES (1)')",
    "in SQL with a schema": "def act(r): connection.cursor().execute('delete from public.\"library_book\"')",
    "in SQL by the model's table": "def act(r): r.execute(f'UPDATE {Book._meta.db_table} SET title = 1')",
    "in SQL by a constant": "SQL = 'TRUNCATE library_book'\ndef act(r): r.execute(SQL)",
    "in a COPY": "def act(r): r.copy('COPY library_book (title) FROM STDIN')",
    "by a name at run time": "def act(r): apps.get_model('library', 'Book').objects.create()",
    "by a constant getattr": "class D:\n    def go(self): Book.objects.create()\ndef act(r): getattr(D(), 'go')()",
    "in a callback": "def act(r): transaction.on_commit(lambda: Book.objects.create())",
    "in a partial": (
        "def act(r): transaction.on_commit(functools.partial(other, 1))\ndef other(x): Book.objects.create()"
    ),
    "behind a decorator": (
        "def deco(f):\n    @functools.wraps(f)\n    def inner(*a, **k): return f(*a, **k)\n    return inner\n"
        "@deco\ndef act(r): Book.objects.create()"
    ),
    "behind a decorator without a name": (
        "def deco(f):\n    def inner(*a, **k): return f(*a, **k)\n    return inner\n"
        "@deco\ndef act(r): Book.objects.create()"
    ),
    "in a decorator": (
        "def deco(f):\n    @functools.wraps(f)\n    def inner(*a):\n        Book.objects.create()\n"
        "        return f(*a)\n    return inner\n@deco\ndef act(r): pass"
    ),
    "in a transaction": "@transaction.atomic\ndef act(r): Book.objects.create()",
    "in a method": (
        "class Desk:\n    def work(self): self.put()\n    def put(self): Book.objects.create()\n"
        "def act(r): Desk().work()"
    ),
    "in a method above": (
        "class Base:\n    def work(self): Book.objects.create()\nclass Desk(Base):\n"
        "    def work(self): super().work()\ndef act(r): Desk().work()"
    ),
    "in a property": "class Desk:\n    @property\n    def x(self): return Book.objects.create()\ndef act(r): Desk().x",
    "by an attribute that was set": (
        "class Desk:\n    def __init__(self): self.book = Book()\n    def work(self): self.book.save()\n"
        "def act(r): Desk().work()"
    ),
    "in an except": "def act(r):\n    try: pass\n    except ValueError: Book.objects.create()\n    finally: pass",
    "in a match": "def act(r):\n    match r:\n        case 1: Book.objects.create()",
    "in a while": "def act(r):\n    while r: Book.objects.create()",
    "of an import inside": "def act(r):\n    from library.models import Book as B\n    B.objects.create()",
    "asynchronously": "async def act(r): await Book.objects.acreate()",
    "in a form": (
        "class F(ModelForm):\n    class Meta:\n        model = Book\n        fields = ()\ndef act(r): F(r).save()"
    ),
    "in a serializer": (
        "class S(serializers.ModelSerializer):\n    class Meta:\n        model = Book\n        fields = ()\n"
        "def act(r):\n    s = S(data=r)\n    s.is_valid()\n    s.save()"
    ),
    "in a serializer's own method": (
        "class S(serializers.Serializer):\n    def create(self, data): return Book.objects.create()\n"
        "def act(r): S(data=r).save()"
    ),
    "in a form that is saved later": (
        "class F(ModelForm):\n    class Meta:\n        model = Book\n        fields = ()\n"
        "def act(r):\n    book = F(r).save(commit=False)\n    book.save()"
    ),
    "behind a flag": "def act(r): other(True)\ndef other(flag):\n    if flag: Book.objects.create()",
    "behind a flag that is not known": "def act(r): other(r)\ndef other(flag):\n    if flag: Book.objects.create()",
    "behind a flag that may be given": (
        "def act(r): other(**r)\ndef other(flag=False):\n    if flag: Book.objects.create()"
    ),
    "behind a flag that is changed": (
        "def act(r): other(r, False)\ndef other(r, flag):\n    for x in r:\n"
        "        if flag: Book.objects.create()\n        flag = True"
    ),
    "after an early end elsewhere": "def act(r):\n    if r: return None\n    Book.objects.create()",
    "where another capability is open": "def act(r):\n    if is_open('visits'): Book.objects.create()",
}


@pytest.mark.parametrize("source", WRITES.values(), ids=WRITES.keys())
def test_a_write_is_found(written, source):
    reader = Reader(lambda table: table == "library_book")

    assert tables(reader, written(source).act) == {"library_book"}


READS = {
    "a query": "def act(r): return Book.objects.filter(title='x').count()",
    "another model": "def act(r):\n    book = Book.objects.first()\n    Visit.objects.create(note=book.title)",
    "a dictionary": "def act(r):\n    d = {}\n    d.update(book=Book.objects.first())",
    "a set": "def act(r):\n    s = set(Book.objects.all())\n    s.add(1)\n    s.remove(1)",
    "a row that is not saved": "def act(r): return Book(title='x')",
    "a function that is not called": "def act(r):\n    def inner(): Book.objects.create()\n    return inner",
    "another method": "class D:\n    def a(self): Book.objects.create()\n    def b(self): pass\ndef act(r): D().b()",
    "SQL that reads": "def act(r): r.execute('SELECT * FROM library_book FOR UPDATE')",
    "SQL on another table": "def act(r): r.execute('UPDATE library_book_old SET title = 1')",
    "behind the end": "def act(r):\n    return 1\n    Book.objects.create()",
    "another name": "def act(r):\n    book = Visit()\n    book.save()\n    book = Book()",
    "the name that it had": "def act(r):\n    book = Book()\n    book = Visit()\n    book.save()",
    "a form that is not saved": (
        "class F(ModelForm):\n    class Meta:\n        model = Book\n        fields = ()\n"
        "def act(r): F(r).save(commit=False)"
    ),
    "behind a flag": "def act(r): other(False)\ndef other(flag):\n    if flag: Book.objects.create()",
    "behind a flag by default": "def act(r): other()\ndef other(flag=False):\n    if flag: Book.objects.create()",
    "an overridden method": (
        "class B:\n    def a(self): Book.objects.create()\nclass D(B):\n    def a(self): pass\ndef act(r): D().a()"
    ),
}


@pytest.mark.parametrize("source", READS.values(), ids=READS.keys())
def test_what_does_not_write_is_not_found(written, source):
    reader = Reader(lambda table: table == "library_book")

    assert tables(reader, written(source).act) == set()


LOOKS = {
    "a query": "def act(r): return Member.objects.filter(name='x').count()",
    "a row by its key": "def act(r): return Member.objects.get(pk=1)",
    "a row by a shortcut": "def act(r): return get_object_or_404(Member, pk=1)",
    "in a loop": "ALL = Member.objects.all()\ndef act(r):\n    for one in ALL: r(one)",
    "in a comprehension": "ALL = Member.objects.all()\ndef act(r): return [one for one in ALL]",
    "the row behind a key": "def act(r): return Fine.objects.get(pk=1).member",
    "the key of the row behind a key": "def act(r): return Fine.objects.get(pk=1).member.pk",
    "a row that is read again": "def act(r): other(None)\ndef other(member: Member): member.refresh_from_db()",
    "a condition on what a key points at": "def act(r): Fine.objects.filter(member__name='x')",
    "an inner condition": "def act(r): Fine.objects.filter(Q(pk=1) | ~Q(member__name__startswith='x'))",
    "a condition beyond it": "def act(r): Receipt.objects.filter(donor__name='x')",
    "a condition in a shortcut": "def act(r): get_object_or_404(Fine, member__name='x')",
    "another key than the one pointed by": "def act(r): Locker.objects.filter(card__pk=1)",
    "rows that are fetched along": "def act(r): Fine.objects.select_related('member')",
    "rows that are fetched after": "def act(r): Fine.objects.prefetch_related(models.Prefetch('member'))",
    "an order": "def act(r): Fine.objects.order_by('-member__name')",
    "values": "def act(r): Fine.objects.values_list('pk', 'member__name')",
    "an expression": "def act(r): Fine.objects.annotate(name=F('member__name'))",
    "SQL": "def act(r): r.execute('SELECT * FROM ties_fine JOIN \"ties_member\" m ON true')",
    "choices of a form": (
        "class F(ModelForm):\n    class Meta:\n        model = Fine\n        fields = ('member',)\ndef act(r): F()"
    ),
    "a form of a view": "class act(CreateView):\n    model = Fine\n    fields = ['member']",
    "a serializer inside another": (
        "class M(serializers.ModelSerializer):\n    class Meta:\n        model = Member\n        fields = ()\n"
        "class S(serializers.ModelSerializer):\n    member = M()\n    class Meta:\n        model = Fine\n"
        "        fields = ('member',)\ndef act(r): return S(Fine.objects.all(), many=True).data"
    ),
    "a field of a serializer from behind a key": (
        "class S(serializers.ModelSerializer):\n    name = serializers.CharField(source='member.name')\n"
        "    class Meta:\n        model = Fine\n        fields = ('name',)\n"
        "def act(r): return S(Fine.objects.all(), many=True).data"
    ),
    "a method of a serializer": (
        "class S(serializers.ModelSerializer):\n    name = serializers.SerializerMethodField()\n"
        "    class Meta:\n        model = Fine\n        fields = ('name',)\n"
        "    def get_name(self, fine): return fine.member.name\n"
        "def act(r): return S(Fine.objects.all(), many=True).data"
    ),
    "a key that a request has sent": (
        "class S(serializers.ModelSerializer):\n    class Meta:\n        model = Fine\n        fields = ('member',)\n"
        "class act(generics.CreateAPIView):\n    queryset = Fine.objects.all()\n    serializer_class = S"
    ),
}


def looked_at(module: ModuleType, method: str = "POST") -> set[str]:
    """Of the table of members, whether it is read."""
    reader = Reader(lambda table: table == "ties_member")
    if isinstance(module.act, type):
        summary = entries.view(reader, module.act.as_view(), method)
    else:
        summary = entries.function(reader, module.act, Arguments(((Request(),),)))
    return {read.table for read in summary.reads}


@pytest.mark.parametrize("source", LOOKS.values(), ids=LOOKS.keys())
def test_a_read_is_found(written, source):
    assert looked_at(written(source)) == {"ties_member"}


NO_LOOKS = {
    "a key": "def act(r): return Fine.objects.get(pk=1).member_id",
    "a condition on a key": "def act(r): Fine.objects.filter(member=1, member__pk=1, member__id__in=[1], member_id=2)",
    "whether there is a key": "def act(r): Fine.objects.filter(member__isnull=True)",
    "the key pointed by": "def act(r): Locker.objects.filter(card__card=1)",
    "values of a key": "def act(r): Fine.objects.values_list('member', 'member_id').order_by('member_id')",
    "a row that is made": "def act(r): Fine.objects.create(member_id=1)",
    "a row that is written": "def act(r): Member.objects.create(name='x', card=1)",
    "no rows": "def act(r): return Member.objects.none()",
    "the class": "def act(r): return Member._meta.db_table",
    "a function that is not called": "def act(r):\n    def inner(): Member.objects.count()\n    return inner",
    "SQL that writes": "def act(r): r.execute('DELETE FROM ties_member')",
    "SQL on another table": "def act(r): r.execute('SELECT * FROM ties_members')",
    "a text": "def act(r): Fine.objects.filter(pk='member__name')",
    "another query's names": "def act(r): Fine.objects.filter(pk=models.OuterRef('member__name'))",
    "a form without the key": (
        "class F(ModelForm):\n    class Meta:\n        model = Fine\n        fields = ()\ndef act(r): F()"
    ),
    "a key that is shown": (
        "class S(serializers.ModelSerializer):\n    class Meta:\n        model = Fine\n        fields = ('member',)\n"
        "class act(generics.ListAPIView):\n    queryset = Fine.objects.all()\n    serializer_class = S"
    ),
}


@pytest.mark.parametrize("source", NO_LOOKS.values(), ids=NO_LOOKS.keys())
def test_what_does_not_read_is_not_found(written, source):
    assert looked_at(written(source), "GET") == set()


GUARDED = {
    "in a branch": "def act(r):\n    if is_open('books'): Book.objects.create()",
    "by its module": "def act(r):\n    if owners.is_open('books'): Book.objects.create()",
    "with another condition": "def act(r):\n    if r and is_open('books'): Book.objects.create()",
    "in the other branch": "def act(r):\n    if not is_open('books'): pass\n    else: Book.objects.create()",
    "after an early end": "def act(r):\n    if not is_open('books'): return\n    Book.objects.create()",
    "by a function": "def here(): return is_open('books')\ndef act(r):\n    if here(): Book.objects.create()",
    "by a name": "def act(r):\n    opened = is_open('books')\n    if opened: Book.objects.create()",
    "in a choice": "def act(r): return Book.objects.create() if is_open('books') else None",
    "by an object": (
        "class Here:\n    def put(self): Book.objects.create()\nclass Away:\n    def put(self): pass\n"
        "def desk(): return Here() if is_open('books') else Away()\ndef act(r): desk().put()"
    ),
}


@pytest.mark.parametrize("source", GUARDED.values(), ids=GUARDED.keys())
def test_a_write_knows_that_its_capability_is_open(written, source):
    summary = entries.function(Reader(lambda table: table == "library_book"), written(source).act)

    assert [write.under for write in summary.writes] == [frozenset({"books"})]


def test_the_opposite_is_no_guard(written):
    module = written("def act(r):\n    if not is_open('books'): Book.objects.create()")

    summary = entries.function(Reader(lambda table: True), module.act)

    assert [write.under for write in summary.writes] == [frozenset()]


METHODS = """
def act(request):
    if request.method == "POST":
        Book.objects.create()
    elif request.method in ("PUT", "PATCH"):
        Visit.objects.create()
    if request.method != "DELETE":
        return None
    Member.objects.create()

def early(request):
    if request.method != "POST":
        return None
    Book.objects.create()

def posted(request):
    if request.POST:
        Book.objects.create()
"""


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", set()), ("POST", {"library_book"}), ("PATCH", {"library_visit"}), ("DELETE", {"ties_member"})],
)
def test_the_method_decides_between_branches(written, method, expected):
    assert tables(Reader(lambda table: True), written(METHODS).act, method) == expected


def test_an_early_end_and_a_form_depend_on_the_method(written):
    module, reader = written(METHODS), Reader(lambda table: True)

    assert tables(reader, module.early, "GET") == tables(reader, module.posted, "GET") == set()
    assert tables(reader, module.early, "POST") == tables(reader, module.posted, "POST") == {"library_book"}


RELATIONS = {
    "backwards": ("def act(r): Member.objects.get().fine_set.create()", {"ties_fine"}),
    "forwards": ("def act(r): Fine.objects.get().member.save()", {"ties_member"}),
    "to a generic relation": ("def act(r): Member.objects.get().remarks.create()", {"ties_remark"}),
    "of many to many": ("def act(r): User.objects.get().groups.add(1)", {"auth_user_groups"}),
    "a proxy": ("def act(r): Patron.objects.create()", {"ties_member"}),
    "a child": ("def act(r): Donor.objects.create()", {"ties_donor", "ties_member"}),
    "an account": ("def act(r): User.objects.create_user('x')", {"auth_user"}),
    "a password that is checked": ("def act(r): authenticate(r, username='x', password='y')", {"auth_user"}),
    "a login": ("def act(r): login(r, r.user)", {"auth_user"}),
    "the caller's account": ("def act(request): request.user.save()", {"auth_user"}),
}


@pytest.mark.parametrize(("source", "expected"), RELATIONS.values(), ids=RELATIONS.keys())
def test_a_write_reaches_the_tables_of_the_relation(written, source, expected):
    reader = Reader(lambda table: table not in ("django_session",))

    assert tables(reader, written(source).act) >= expected


def test_the_callers_account_is_only_likely(written):
    summary = entries.function(Reader(lambda table: True), written("def act(request): request.user.save()").act)

    assert [write.sure for write in summary.writes] == [False]


def test_functions_that_call_each_other_come_to_an_end(written):
    module = written("def act(r):\n    Book.objects.create()\n    other(r)\ndef other(r): act(r)")

    assert tables(Reader(lambda table: True), module.act) == {"library_book"}


def test_what_cannot_be_told_is_named(written):
    module = written(
        "def act(r):\n    r.thing.save()\n    getattr(r, r.name)()\n    r.execute(r.text)\n    r.other.update()\n"
    )
    reader = Reader(lambda table: True)

    assert tables(reader, module.act) == set()
    assert [one.call for one in reader.blind] == ["r.thing.save()"]
    assert len(reader.dynamic) == 1
    assert len(reader.unknown_sql) == 1


def test_a_write_in_code_of_others_is_told_at_the_call(written):
    module = written("def act(r):\n    login(r, r.user)\n")

    summary = entries.function(Reader(lambda table: table == "auth_user"), module.act)

    assert {write.place.rpartition(":")[0].rpartition("/")[2] for write in summary.writes} == {f"{module.__name__}.py"}
