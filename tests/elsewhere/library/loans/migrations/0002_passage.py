import time

import django.utils.timezone
from django.db import migrations, models

MAKE = """
CREATE TABLE loans_passage (
    year smallint NOT NULL CHECK (year >= 0),
    number bigint NOT NULL,
    copy_id uuid NOT NULL,
    out boolean NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (year, number)
) PARTITION BY LIST (year);
CREATE TABLE loans_passage_2026 PARTITION OF loans_passage FOR VALUES IN (2026);
CREATE TABLE loans_passage_2027 PARTITION OF loans_passage FOR VALUES IN (2027);
CREATE TABLE loans_passage_others PARTITION OF loans_passage DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("loans", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(MAKE, "DROP TABLE loans_passage")],
            state_operations=[
                migrations.CreateModel(
                    name="Passage",
                    fields=[
                        ("pk", models.CompositePrimaryKey("year", "number", blank=True, editable=False, primary_key=True, serialize=False)),
                        ("year", models.PositiveSmallIntegerField()),
                        ("number", models.BigIntegerField(default=time.time_ns)),
                        ("copy_id", models.UUIDField()),
                        ("out", models.BooleanField()),
                        ("at", models.DateTimeField(default=django.utils.timezone.now)),
                    ],
                ),
            ],
        ),
    ]
