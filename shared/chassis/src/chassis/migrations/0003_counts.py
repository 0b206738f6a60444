from typing import Any

from django.db import migrations, models


def no_log(apps: Any, schema_editor: Any) -> None:
    """A count is worth less than a wait for the disk; the table is empty, so this takes no time."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE chassis_count SET UNLOGGED")


class Migration(migrations.Migration):

    dependencies = [
        ('chassis', '0002_leases'),
    ]

    operations = [
        migrations.CreateModel(
            name='Count',
            fields=[
                ('key', models.TextField(primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('ends_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'chassis_count',
                'indexes': [models.Index(fields=['ends_at'], name='chassis_count_ends_at')],
            },
        ),
        migrations.RunPython(no_log, migrations.RunPython.noop),
    ]
