"""What bears a password is refused by its name, and nothing of it is repeated."""

from __future__ import annotations

import pytest
from chassis import environment
from chassis import settings as chassis_settings
from django.core.exceptions import ImproperlyConfigured

CANARY = "canary"
BROKEN_DATABASES = [
    CANARY,
    f"u:{CANARY}@h/db",
    f"mysql://u:{CANARY}@h/db",
    f"postgresql:/u:{CANARY}@h/db",
    f"postgresql://u:pa/{CANARY}@h/db",
    f"postgresql://u:12/{CANARY}@h/db",
    f"postgresql://u:12?{CANARY}@h/db",
    f"postgresql://u:12#{CANARY}@h/db",
    f"postgresql://u:{CANARY}@h:port/db",
    f"postgresql://u:{CANARY}@h:99999/db",
    f"postgresql://u:{CANARY}@h x/db",
    f"postgresql://u:{CANARY}@[::1/db",
    f"postgresql://u:{CANARY}%00@h/db",
    f"postgresql://u:{CANARY}@h1:1,h2:2/db",
    f"postgresql://u:p@h/db?{CANARY}=1",
    f"postgresql://u:{CANARY}@h/db?sslmod=require",
    f"host=h password={CANARY}",
]
BROKEN_BROKERS = [
    CANARY,
    f"u:{CANARY}@h",
    f"amqp:/u:{CANARY}@h//",
    f"amqp://u:pa/{CANARY}@h//",
    f"amqp://u:12/{CANARY}@h//",
    f"amqp://u:12?{CANARY}@h//",
    f"amqp://u:12#{CANARY}@h//",
    f"amqp://u:{CANARY}@h:port//",
    f"amqp://u:{CANARY}@[::1//",
    f"amqp://u:p@h//;amqp://u:12/{CANARY}@h2//",
    f"redis://:{CANARY}@h:99999/0",
]
BROKEN_GATEWAYS = [CANARY, f"http://u:{CANARY}@h", f"http://h:{CANARY}", f"http://h?{CANARY}", f"ftp://{CANARY}"]


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        *(("DATABASE_URL", text, lambda: environment.database(application="x")) for text in BROKEN_DATABASES),
        *(("BROKER_URL", text, lambda: environment.celery(queue="x")) for text in BROKEN_BROKERS),
        *(("BROKER_URL", text, chassis_settings.broker_url) for text in BROKEN_BROKERS),
        *(("GATEWAY_URL", text, environment.gateway) for text in BROKEN_GATEWAYS),
        *(("INTERNAL_URL", text, environment.internal) for text in BROKEN_GATEWAYS),
    ],
)
def test_a_broken_address_is_refused_by_its_name_and_not_repeated(monkeypatch, settings, variable, text, read):
    monkeypatch.setenv(variable, text)
    settings.CHASSIS_BROKER_URL = ""

    with pytest.raises(ImproperlyConfigured, match=f"^{variable} ") as caught:
        read()

    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("variable", ["DATABASE_URL", "BROKER_URL", "SECRET_KEY"])
def test_a_secret_in_place_of_its_file_s_name_is_not_repeated(monkeypatch, variable):
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(f"{variable}_FILE", f"postgresql://u:{CANARY}@h/db")

    with pytest.raises(ImproperlyConfigured, match=f"{variable}_FILE") as caught:
        environment.secret(variable)

    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "host", "port", "password", "name"),
    [
        ("postgresql://u:p@h:5432/db?sslmode=verify-full", "h", 5432, "p", "db"),
        ("postgres://u:p%2F%3F%23%40%3A%25@h/db", "h", "", "p/?#@:%", "db"),
        ("postgresql://u:p@q@h/db", "h", "", "p@q", "db"),
        ("postgresql://u:a%b@h/db", "h", "", "a%b", "db"),
        ("postgresql://u:p@[2001:db8::1]:5432/db", "2001:db8::1", 5432, "p", "db"),
        ("postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/db", "/var/run/postgresql", "", "p", "db"),
        ("postgresql:///db?host=/var/run/postgresql", "", "", "", "db"),
    ],
)
def test_a_good_address_is_taken(monkeypatch, text, host, port, password, name):
    monkeypatch.setenv("DATABASE_URL", text)

    found = environment.database(application="x")

    assert (found["HOST"], found["PORT"], found["PASSWORD"], found["NAME"]) == (host, port, password, name)


@pytest.mark.parametrize(
    "text",
    ["amqp://u:p@h//", "amqps://u:p%2F@h:5671/v", "redis://:p@h/0", "memory://", "amqp://u:p@h//;amqp://u:p@i//"],
)
def test_a_good_broker_is_taken(monkeypatch, text):
    monkeypatch.setenv("BROKER_URL", text)

    assert environment.celery(queue="x")["broker_url"] == text
