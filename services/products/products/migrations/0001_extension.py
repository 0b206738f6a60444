"""Substring search needs trigrams; the extension is trusted, so the owner of the database may add it."""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (TrigramExtension(),)
