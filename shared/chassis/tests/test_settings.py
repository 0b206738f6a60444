from __future__ import annotations

import pytest
from celery import Celery
from chassis import environment
from chassis import settings as chassis_settings
from chassis.identity.passwords import PBKDF2PasswordHasher
from django.contrib.auth.hashers import identify_hasher, make_password
from django.core.exceptions import ImproperlyConfigured
from kombu import Producer


@pytest.fixture
def environ(monkeypatch):
    return monkeypatch.setenv


def test_a_secret_that_is_missing_is_named(monkeypatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        environment.secret("SECRET_KEY")


def test_a_secret_may_be_in_a_file(environ, tmp_path):
    file = tmp_path / "url"
    file.write_text("postgresql://ada:s p@db.example/library\n")
    environ("DATABASE_URL_FILE", str(file))
    environ("DATABASE_URL", "")

    assert environment.secret("DATABASE_URL") == "postgresql://ada:s p@db.example/library"


def test_a_secret_that_is_given_twice_is_refused(environ, tmp_path):
    environ("SECRET_KEY", "one")
    environ("SECRET_KEY_FILE", str(tmp_path / "other"))

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY and SECRET_KEY_FILE are both set"):
        environment.secret("SECRET_KEY")


def test_a_file_that_cannot_be_read_is_named(environ, monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    environ("SECRET_KEY_FILE", str(tmp_path / "none"))

    with pytest.raises(ImproperlyConfigured, match=r"file that SECRET_KEY_FILE names cannot be read: No such file"):
        environment.secret("SECRET_KEY")


def test_an_empty_file_is_no_secret(environ, monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    (tmp_path / "empty").write_text("\n")
    environ("SECRET_KEY_FILE", str(tmp_path / "empty"))

    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        environment.secret("SECRET_KEY")


def test_the_broker_s_address_may_be_in_a_file_too(environ, monkeypatch, tmp_path):
    monkeypatch.delenv("BROKER_URL", raising=False)
    (tmp_path / "url").write_text("amqp://localhost")
    environ("BROKER_URL_FILE", str(tmp_path / "url"))

    assert environment.celery(queue="catalogue")["broker_url"] == "amqp://localhost"
    assert chassis_settings.broker_url() == "amqp://localhost"


@pytest.mark.parametrize(("text", "expected"), [("", True), ("0", False), ("1", True), ("False", False)])
def test_a_flag_is_0_or_1_and_has_a_default(environ, text, expected):
    environ("DEBUG", text)

    assert environment.flag("DEBUG", default=True) is expected


def test_a_flag_of_another_value_is_refused(environ):
    environ("DEBUG", "perhaps")

    with pytest.raises(ImproperlyConfigured, match="DEBUG='perhaps'"):
        environment.flag("DEBUG", default=False)


def test_a_number_is_whole(environ):
    environ("WEB_THREADS", "8")
    assert environment.number("WEB_THREADS", default=16) == 8

    environ("WEB_THREADS", "-1")
    with pytest.raises(ImproperlyConfigured, match="WEB_THREADS"):
        environment.number("WEB_THREADS", default=16)


def test_a_listing_drops_blanks(environ):
    environ("ALLOWED_HOSTS", "a.example, b.example,")

    assert environment.listing("ALLOWED_HOSTS", default="localhost") == ["a.example", "b.example"]


@pytest.mark.parametrize("text", ["20/min", "100000/s", "5/hour"])
def test_a_rate_is_number_and_period(environ, text):
    environ("THROTTLE_TOKEN", text)

    assert environment.rate("THROTTLE_TOKEN", default="1/s") == text


@pytest.mark.parametrize("text", ["20", "min/20", "20/fortnight"])
def test_a_rate_that_the_framework_would_choke_on_is_refused(environ, text):
    environ("THROTTLE_TOKEN", text)

    with pytest.raises(ImproperlyConfigured, match="THROTTLE_TOKEN"):
        environment.rate("THROTTLE_TOKEN", default="1/s")


def test_the_database_of_an_address(environ):
    environ("DATABASE_URL", "postgresql://ada:secret@db.example:5433/library?sslmode=require")

    database = environment.database(application="catalogue")

    assert database["NAME"] == "library"
    assert database["ATOMIC_REQUESTS"] is False  # as Django has it: a monolith's views mean what they meant
    assert environment.database(application="catalogue", atomic_requests=True)["ATOMIC_REQUESTS"] is True
    assert database["CONN_HEALTH_CHECKS"] is True
    assert database["OPTIONS"]["application_name"] == "catalogue"
    assert database["OPTIONS"]["sslmode"] == "require"


def test_a_database_of_another_kind_is_refused(environ):
    environ("DATABASE_URL", "sqlite:///library.db")

    with pytest.raises(ImproperlyConfigured, match="PostgreSQL"):
        environment.database(application="catalogue")


def test_a_server_that_vanishes_is_noticed_and_the_address_may_say_when(environ):
    environ("DATABASE_URL", "postgresql://ada@db.example/library?tcp_user_timeout=1000")

    options = environment.database(application="catalogue")["OPTIONS"]

    assert options["tcp_user_timeout"] == 1000
    assert options["keepalives_idle"] < 30


def test_a_broker_is_waited_for_without_end(environ):
    environ("BROKER_URL", "amqp://localhost")

    assert environment.celery(queue="catalogue")["broker_connection_max_retries"] is None


def test_rabbitmq_gets_quorum_queues_and_confirms(environ):
    environ("BROKER_URL", "amqp://localhost")

    celery = environment.celery(queue="catalogue")

    assert celery["task_default_queue_type"] == "quorum"
    assert celery["broker_transport_options"]["confirm_publish"] is True


def test_a_wait_for_a_confirm_has_an_end(environ, monkeypatch):
    environ("BROKER_URL", "amqp://localhost")
    app = Celery("catalogue")
    app.conf.update(environment.celery(queue="catalogue"), broker_url="memory://", broker_transport_options={})
    published = []
    monkeypatch.setattr(Producer, "publish", lambda self, *_, **settings: published.append(settings))

    app.send_task("catalogue.index")

    assert published[0]["confirm_timeout"] == 5
    assert published[0]["routing_key"] == "catalogue"


def test_another_broker_is_asked_for_neither(environ):
    environ("BROKER_URL", "redis://localhost")

    celery = environment.celery(queue="catalogue")

    assert "task_default_queue_type" not in celery
    assert celery["task_acks_late"]
    assert celery["task_reject_on_worker_lost"]


def test_password_hashes_have_the_rounds_of_the_settings():
    encoded = make_password("correct horse")

    assert encoded.startswith("pbkdf2_sha256$1000$")
    assert not identify_hasher(encoded).must_update(encoded)


def test_without_a_setting_the_rounds_do_not_depend_on_django_s_release(settings):
    del settings.PASSWORD_ITERATIONS

    assert PBKDF2PasswordHasher().iterations == 1_000_000
