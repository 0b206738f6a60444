"""What the desk's database does by itself."""

from django.db import migrations

TRIM = """
CREATE FUNCTION loans_trim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.note := btrim(NEW.note);  -- readers type blanks
    RETURN NEW;
END
$$;
CREATE TRIGGER loans_trim BEFORE INSERT OR UPDATE ON loans_loan FOR EACH ROW EXECUTE FUNCTION loans_trim();
COMMENT ON TABLE loans_loan IS 'one row per copy that a reader took';
"""
UNTRIM = "DROP FUNCTION loans_trim() CASCADE"
REASONS = {"lost": "never came back", "harmed": "came back harmed"}


def reasons(apps, schema_editor):
    Reason = apps.get_model("loans", "Reason")
    for code, says in REASONS.items():
        Reason.objects.get_or_create(code=code, defaults={"says": says})


class Migration(migrations.Migration):
    dependencies = [("loans", "0002_passage"), ("people", "0001_initial")]

    operations = [
        migrations.RunSQL(TRIM, UNTRIM),
        migrations.RunSQL(
            ["ALTER TABLE loans_loan ALTER COLUMN note SET DEFAULT ''", "CREATE INDEX loans_by_slip ON loans_loan (lower(slip))"],
            ["DROP INDEX loans_by_slip", "ALTER TABLE loans_loan ALTER COLUMN note DROP DEFAULT"],
            elidable=True,
        ),
        # Why copies come back as they do.
        migrations.RunPython(reasons, migrations.RunPython.noop, elidable=True),
        migrations.RunSQL(
            "CREATE VIEW loans_out AS SELECT l.id, r.email FROM loans_loan l JOIN people_reader r ON r.id = l.reader_id",
            "DROP VIEW loans_out",
        ),
    ]
