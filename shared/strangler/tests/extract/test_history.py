"""What migrations do in the database that no model says: what of it comes along, and what a person has to decide."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path, PurePosixPath
from textwrap import dedent, indent

import pytest
from strangler.domain.project import Capability
from strangler.domain.route import Route
from strangler.extract.draft import Source, TakenApp
from strangler.extract.history import placing, planning, statements
from strangler.extract.history.placing import Placing
from strangler.extract.history.planning import Planned
from strangler.init.described import App, Described, Setting, Table

LOANS = Capability("loans", ("loans_loan", "loans_passage"), [Route(frozenset(), "/")], "loans", "loans")
MIGRATION = '''
"""As somebody wrote it."""

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
{before}


class Migration(migrations.Migration):
    dependencies = {needs}

    operations = [
{operations}
    ]
'''
MADE = MIGRATION.format(
    before="", needs="[]", operations="""
        migrations.CreateModel(name='Loan', fields=[('id', models.BigAutoField(primary_key=True)),
            ('note', models.TextField()), ('due', models.DateField())],
            options={'indexes': [
                models.Index(fields=['due'], name='loans_due'), models.Index(fields=['id'], name='b')]}),
        migrations.CreateModel(
            name='Passage',
            fields=[('id', models.BigAutoField(primary_key=True))],
        ),
        migrations.AddIndex(model_name='passage', index=models.Index(fields=['id'], name='c')),
        migrations.AddConstraint(model_name='loan', constraint=models.UniqueConstraint(fields=['due'], name='one_due')),
""",
)  # fmt: skip


class Project:
    """Files of migrations, of apps that move (loans) and stay (books, core)."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.service = folder / "service"
        self.numbers = itertools.count(1)
        self.setting: tuple[Setting, ...] = ()
        self.last = ""
        for label in ("loans", "books", "core"):
            (self.root / label / "migrations").mkdir(parents=True)
        (self.service / "loans/migrations").mkdir(parents=True)
        (self.service / "loans/migrations/0001_initial.py").write_text(MADE)

    def has(self, *operations: str, before: str = "", app: str = "loans", name: str = "") -> str:
        """Another migration of the app; returns its name."""
        name = name or f"{next(self.numbers):04d}_more"
        listed = "".join(indent(dedent(one).strip("\n"), " " * 8) + ",\n" for one in operations)
        needs = f'[("{app}", "{self.last}")]' if self.last and app == "loans" else "[]"
        text = MIGRATION.format(before=dedent(before), needs=needs, operations=listed.rstrip("\n"))
        (self.root / app / "migrations" / f"{name}.py").write_text(text)
        self.last = name if app == "loans" else self.last
        return name

    def planned(self) -> Planned:
        apps = {label: App(label, label, own=True, path=label) for label in ("loans", "books", "core")}
        tables = [Table("loans_loan", "loans", "loans.Loan"), Table("loans_passage", "loans", "loans.Passage"),
                  Table("books_copy", "books", "books.Copy")]  # fmt: skip
        described = Described("library", whole=True, apps=apps, tables=tables, settings=self.setting)
        source = Source(
            files={PurePosixPath("loans/models.py"): ""}, apps=(TakenApp("loans", "loans", models=("Loan", "Passage")),)
        )
        return planning.plan(described, LOANS, source, self.root)

    def placed(self) -> dict[str, str]:
        """The service's migrations afterwards, by name."""
        folder = self.service / "loans/migrations"
        fresh = [folder / "0001_initial.py"]
        self.placing = Placing(self.service, {"loans": "loans"}, fresh)
        self.placing.place(self.planned().carried)
        found = {file.stem: file.read_text() for file in sorted(folder.glob("*.py"))}
        for text in found.values():
            ast.parse(text)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def told(project: Project) -> tuple[int, str, bool]:
    """How many operations come along, and the only decision."""
    planned = project.planned()
    (one,) = planned.decisions
    return sum(len(each.kept) for each in planned.carried), one.says.removeprefix("the migration: "), one.open


ROWS = """
    def fill(apps, schema_editor):
        Loan = apps.get_model("loans", "Loan")
        Loan.objects.create(note="first")
"""


@pytest.mark.parametrize(
    ("operation", "before"),
    [
        ('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)", migrations.RunSQL.noop, elidable=True)', ""),
        ('migrations.RunSQL(sql=SQL)',
         'SQL = f"CREATE INDEX a ON {TABLE} (note)"\nTABLE = "loans_loan"'),
        ('migrations.RunSQL(["COMMENT ON TABLE loans_loan IS \'x\'", ("UPDATE loans_loan SET note = %s", ["y"])])', ""),
        ('migrations.RunSQL("ALTER TABLE \\"loans_loan\\" " + "ALTER COLUMN note SET DEFAULT \'\'")', ""),
        ('migrations.RunSQL("-- as books_copy has it\\nCREATE INDEX a ON loans_loan (note) /* books_copy */")', ""),
        ("migrations.RunPython(fill, migrations.RunPython.noop)", ROWS),
        ("migrations.RunPython(fill)", """
            def fill(apps, schema_editor):
                schema_editor.execute("CREATE INDEX a ON loans_loan (note)")
        """),
        ('migrations.SeparateDatabaseAndState([migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")])', ""),
    ],
)  # fmt: skip
def test_what_touches_the_capabilitys_tables_alone_comes_along(project: Project, operation: str, before: str) -> None:
    project.has(operation, before=before)

    assert told(project) == (1, "1 operation came along as written", False)
    (_, text) = project.placed().values()
    assert " ".join(operation.partition("(")[0].split()) in text


@pytest.mark.parametrize(
    ("operation", "before", "says", "open"),
    [
        ('migrations.RunSQL("ALTER TABLE loans_loan ADD FOREIGN KEY (note) REFERENCES books_copy")', "",
         "its SQL names books_copy, which stays, besides loans_loan", True),
        ('migrations.RunSQL("CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM books_copy; END $$; '
         'CREATE TRIGGER t AFTER DELETE ON loans_loan EXECUTE FUNCTION f()")', "",
         "its SQL names books_copy, which stays, besides loans_loan", True),
        ("migrations.RunSQL(made())", "def made(): return 'x'", "it runs SQL that is made at run time", True),
        ('migrations.RunSQL("CREATE TABLE audit (id int)")', "", "its SQL names audit, which stays", True),
        ("migrations.RunPython(fill)", "from books.filling import fill",
         "it runs code that is written elsewhere", True),
        ("migrations.RunPython(fill)", """
            from books.filling import texts
            def fill(apps, schema_editor):
                apps.get_model("loans.Loan").objects.create(note=texts())
        """, "it runs code that needs books.filling, which did not come along", False),
        ("migrations.RunPython(fill)", """
            def fill(apps, schema_editor):
                for one in apps.get_model("books", "Copy").objects.all():
                    apps.get_model("loans", "Loan").objects.create(note=one.name)
        """, "it runs code on rows of books.copy, which stays", False),
        ("migrations.RunPython(fill)", """
            def fill(apps, schema_editor):
                for name in ("Loan", "Passage"):
                    apps.get_model("loans", name).objects.create()
        """, "it runs code on models that it names at run time", False),
        ("migrations.RunPython(fill)", """
            def fill(apps, schema_editor):
                with schema_editor.connection.cursor() as cursor:
                    cursor.execute("UPDATE books_copy SET id = 1")
        """, "its code names books_copy in SQL, which stays", True),
        ('AddIndexConcurrently("loan", models.Index(fields=["note"], name="x"))', "",
         "it makes without a lock what models say; a new table needs none", False),
        ('triggers.AddTrigger("loan")', "import triggers", "AddTrigger is no operation of Django's", True),
        ("migrations.SeparateDatabaseAndState(state_operations=[migrations.CreateModel('X', [])])", "",
         "the tables are made as the models say it", False),
        ("migrations.SeparateDatabaseAndState([migrations.RunSQL('ALTER TABLE loans_loan RENAME TO loans_x')], "
         "[migrations.AlterField('loan', 'note', models.TextField())])", "",
         "its SQL does what AlterField says to the models, which are made anew", True),
        ("migrations.SeparateDatabaseAndState([migrations.RunSQL('CREATE TABLE loans_passage (id int)')], "
         "[migrations.CreateModel('Passage', [('who', models.ForeignKey(settings.AUTH_USER_MODEL, 'x'))])])", "",
         "its SQL makes what points at settings.AUTH_USER_MODEL, which stays", True),
        ("migrations.SeparateDatabaseAndState(operations())", "def operations(): return []",
         "what it does in the database is told at run time", True),
    ],
)  # fmt: skip
def test_anything_else_is_a_decision_with_its_place(
    project: Project, operation: str, before: str, says: str, open: bool
) -> None:
    name = project.has(operation, before=before)

    assert told(project) == (0, says, open)
    (one,) = project.planned().decisions
    line = int(one.place.rpartition(":")[2])
    assert one.place.startswith(f"loans/migrations/{name}.py:")
    lines = (project.root / f"loans/migrations/{name}.py").read_text().splitlines()
    assert operation.partition("(")[0] in lines[line - 1]


@pytest.mark.parametrize(
    ("later", "is_gone"),
    [
        ("migrations.RemoveField('loan', 'note')", True),
        ("migrations.RenameField('loan', 'note', 'remark')", True),
        ("migrations.RemoveField('passage', 'note')", False),
        ("migrations.AlterField('loan', 'note', models.CharField())", False),
        ("migrations.SeparateDatabaseAndState([], [migrations.RemoveField('loan', 'note')])", True),
    ],
)
@pytest.mark.parametrize(
    "operation", ['migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")', "migrations.RunPython(fill)"]
)
def test_what_names_columns_that_are_gone_at_last_does_not_come_along(
    project: Project, operation: str, later: str, is_gone: bool
) -> None:
    project.has(operation, before=ROWS)
    project.has(later)

    planned = project.planned()
    assert (len(planned.carried) == 0) == is_gone
    assert any("note" in one.says for one in planned.decisions) == is_gone


def test_a_column_that_came_again_is_not_gone(project: Project) -> None:
    project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")')
    project.has("migrations.RemoveField('loan', 'note')", "migrations.AddField('loan', 'note', models.TextField())")

    assert len(project.planned().carried) == 1


def test_rows_that_lack_what_a_later_field_asks_for_do_not_come_along(project: Project) -> None:
    project.has("migrations.RunPython(fill)", before=ROWS)
    project.has("migrations.AddField('loan', 'kind', models.TextField(default='x'), preserve_default=False)")

    assert told(project)[0] == 0


def test_order_reverse_comments_and_what_they_need_are_kept(project: Project) -> None:
    project.has("migrations.CreateModel('Loan', [])", before="import secrets")
    project.has(
        '# The desk asked for it.\nmigrations.RunSQL(FIRST, "DROP INDEX a", elidable=True)',
        "migrations.RunPython(fill, migrations.RunPython.noop)",
        before=f'import secrets\nimport string\nFIRST = "CREATE INDEX a ON loans_loan (note)"\n{dedent(ROWS)}',
    )
    project.has('migrations.RunSQL("DROP INDEX a")', name="0003_less")

    found = project.placed()

    assert list(found) == ["0001_initial", "0002_more", "0003_less"]
    text = found["0002_more"]
    assert "# The desk asked for it." in text
    assert 'migrations.RunSQL(FIRST, "DROP INDEX a", elidable=True)' in text
    assert "RowsUnlessMoved([migrations.RunPython(fill, migrations.RunPython.noop)])" in text
    assert text.index("RunSQL(") < text.index("RowsUnlessMoved([")
    assert "import secrets" not in text
    assert '("loans", "0001_initial")' in text
    assert '("loans", "0002_more")' in found["0003_less"]


def test_a_class_that_is_not_atomic_stays_so(project: Project) -> None:
    project.has('migrations.RunSQL("CREATE INDEX CONCURRENTLY a ON loans_loan (note)")')
    file = project.root / "loans/migrations/0001_more.py"
    file.write_text(file.read_text().replace("    dependencies", "    atomic = False\n    dependencies"))

    assert "    atomic = False\n" in project.placed()["0002_more"]


def test_run_again_nothing_is_carried_twice_and_what_is_new_comes_behind(project: Project) -> None:
    project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")')
    first = project.placed()
    project.has('migrations.RunSQL("CREATE INDEX b ON loans_loan (due)")', name="0002_again")

    second = project.placed()

    assert {name: second[name] for name in first} == first
    assert list(second) == ["0001_initial", "0002_more", "0003_again"]
    assert '("loans", "0002_more")' in second["0003_again"]


def test_sql_in_a_file_comes_with_its_file(project: Project) -> None:
    (project.root / "loans/sql").mkdir()
    (project.root / "loans/sql/a.sql").write_text("CREATE INDEX a ON loans_loan (note)")
    project.has("migrations.RunSQL((HERE / 'sql' / 'a.sql').read_text())",
                before="from pathlib import Path\nHERE = Path(__file__).resolve().parent.parent")  # fmt: skip

    project.placed()

    assert (project.service / "loans/sql/a.sql").read_text() == "CREATE INDEX a ON loans_loan (note)"


def test_a_squashed_migration_takes_the_place_of_those_it_replaces(project: Project) -> None:
    name = project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")')
    project.last = ""
    project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")', name="0001_squashed")
    file = project.root / "loans/migrations/0001_squashed.py"
    file.write_text(
        file.read_text().replace("    dependencies", f'    replaces = [("loans", "{name}")]\n    dependencies')
    )

    assert [one.migration.name for one in project.planned().carried] == ["0001_squashed"]


def test_migrations_of_an_app_are_found_where_the_settings_put_them(project: Project) -> None:
    project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")')
    (project.root / "loans/migrations").rename(project.root / "loans/history")
    project.setting = (Setting("MIGRATION_MODULES", "value", value={"loans": "loans.history"}),)

    assert told(project)[0] == 1


def test_other_apps_give_what_touches_the_capability_alone_and_what_its_sql_needs(project: Project) -> None:
    project.has('migrations.RunSQL("CREATE FUNCTION stamp() RETURNS trigger AS $$ BEGIN RETURN NEW; END $$ '
                'LANGUAGE plpgsql", "DROP FUNCTION stamp()")', app="core", name="0001_stamp")  # fmt: skip
    project.has('migrations.RunSQL("CREATE INDEX a ON loans_loan (note)")', app="core", name="0002_ours")
    project.has('migrations.RunSQL("CREATE INDEX b ON books_copy (id)")', app="books", name="0001_theirs")
    project.has('migrations.RunSQL("CREATE TRIGGER t BEFORE INSERT ON loans_loan EXECUTE FUNCTION stamp()")')

    planned = project.planned()

    assert [one.migration.name for one in planned.carried] == ["0001_more", "0002_ours"]
    ((sql, undo),) = planned.before["loans"]
    assert (sql[:21], undo) == ("CREATE FUNCTION stamp", "DROP FUNCTION stamp()")
    assert not [one for one in planned.decisions if one.open]
    assert "0003_core_ours" in project.placed()


def test_a_table_that_sql_makes_is_taken_out_of_djangos_migration(project: Project) -> None:
    project.has("""
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL("CREATE TABLE loans_passage (id bigint) PARTITION BY LIST (id)")],
            state_operations=[migrations.CreateModel("Passage", [("id", models.BigAutoField(primary_key=True))])],
        )
    """)
    project.has('migrations.RunSQL("CREATE TABLE loans_passage_1 PARTITION OF loans_passage FOR VALUES IN (1)")',
                name="0002_part")  # fmt: skip

    found = project.placed()

    assert "Passage" not in found["0001_initial"]
    assert "passage" not in found["0001_initial"]
    assert "Loan" in found["0001_initial"]
    assert "CreateModel" in found["0002_more"]
    assert "loans_passage_1" in found["0003_part"]


@pytest.mark.parametrize(
    ("stated", "gone", "kept"),
    [
        ("AddField('loan', 'note', models.TextField())", "'note'", "'due', models"),
        ("AddIndex('loan', models.Index(fields=['due'], name='loans_due'))", "loans_due", "name='b'"),
        ("AddIndex('loan', models.Index(fields=['id'], name='b'))", "name='b'", "loans_due"),
        ("AddIndex('passage', models.Index(fields=['id'], name='c'))", "name='c'", "one_due"),
        ("AddConstraint('loan', models.UniqueConstraint(fields=['due'], name='one_due'))", "one_due", "name='c'"),
    ],
)
def test_what_a_state_says_is_taken_out_and_the_rest_stays(stated: str, gone: str, kept: str) -> None:
    operation = ast.parse(f"migrations.{stated}", mode="eval").body

    left = placing.taken_out(MADE, operation, "loans")

    assert left is not None
    ast.parse(left)
    assert gone in MADE
    assert gone not in left
    assert kept in left


def test_what_the_rest_needs_is_not_taken_out_but_told(project: Project) -> None:
    project.has("migrations.SeparateDatabaseAndState([migrations.RunSQL('ALTER TABLE loans_loan ADD due date')], "
                "[migrations.AddField('loan', 'due', models.DateField())])")  # fmt: skip

    found = project.placed()

    assert list(found) == ["0001_initial"]
    (one,) = project.placing.decisions
    assert one.open
    assert "its SQL makes what the service's first migration makes, too" in one.says


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 -- a", {"select"}),
        ("SELECT '-- b' /* a */", {"select", "b"}),
        ("DO $x$ BEGIN -- a\n PERFORM b; END $x$", {"do", "begin", "perform", "b", "end"}),
        ('SELECT "A", B', {"select", "A", "b"}),
        (r"SELECT E'\' -- a' FROM b", {"select", "e", "a", "from", "b"}),
    ],
)
def test_words_of_sql_are_those_that_are_no_comment(sql: str, words: set[str]) -> None:
    assert statements.words(sql) == words


def test_statements_end_where_no_text_and_no_body_goes_on() -> None:
    sql = "SELECT ';'; CREATE FUNCTION a() AS $$ BEGIN; END; $$;\n-- nothing;\nINSERT INTO b VALUES (1);"

    assert [one[:8] for one in statements.statements(sql)] == ["SELECT '", "CREATE F", "INSERT I"]
    assert not statements.only_rows(sql)
    assert statements.only_rows("INSERT INTO b VALUES (1); UPDATE b SET c = ';'")
    assert statements.only_before("CREATE TYPE a AS ENUM ('b'); CREATE EXTENSION IF NOT EXISTS c")
    assert not statements.only_before("CREATE TYPE a AS ENUM ('b'); CREATE TABLE c ()")
    assert list(statements.parts("CREATE TABLE a_1 PARTITION OF public.a DEFAULT")) == [("a_1", "a")]
