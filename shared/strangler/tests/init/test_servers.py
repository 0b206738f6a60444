"""What a first strangler.toml says of servers and caches, by what is installed and what the settings say."""

from __future__ import annotations

import pytest
from strangler.init import drafting, writing
from strangler.init.described import Described, Distribution, Programs, Setting


def drafted(version: str | None, **caches: object) -> str:
    installed = {"gunicorn": Distribution("gunicorn", version)} if version else {}
    described = Described(
        "library",
        whole=True,
        programs=Programs(wsgi="library.wsgi:application"),
        settings=[Setting("CACHES", "value", value=caches)],
        distributions=installed,
    )
    return writing.text(drafting.draft(described))


@pytest.mark.parametrize("version", ["25.2.0", "26.0", "25.10", None])
def test_a_gunicorn_that_knows_the_configuration_reads_it(version: str | None) -> None:
    assert '"--config", "python:chassis.servers.gunicorn"' in drafted(version)


@pytest.mark.parametrize("version", ["23.0.0", "20.1.0", "25.1.9"])
def test_an_older_one_is_started_by_options(version: str) -> None:
    text = drafted(version)

    assert "python:chassis.servers.gunicorn" not in text
    assert "WEB_THREADS=8 exec gunicorn library.wsgi:application" in text
    assert "--keep-alive 75" in text
    assert f"# gunicorn {version} " in text


def test_the_tables_of_caches_stay() -> None:
    one = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "shelf_cache"}
    same = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "django_cache"}
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "elsewhere"}
    text = drafted(None, default=one, pages=same, fast=memory)

    assert '"shelf_cache",' in text
    assert "django_cache" not in text
    assert "elsewhere" not in text
