from __future__ import annotations

import pytest
from celery import Celery
from chassis.servers import checks, surroundings


@pytest.fixture
def app():
    """The Celery app that is current for the test."""
    app = Celery("test", set_as_current=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "current_app", app)
        yield app


@pytest.fixture(autouse=True)
def _sound(settings, app):
    """Settings with which nothing is wrong."""
    settings.CHASSIS_CONSUMES = {"books": ["visits.visit.noted"]}
    settings.CHASSIS_INBOXES = {"books": "library.Inbox"}
    settings.CHASSIS_BROKER_URL = "amqp://broker"
    settings.CHASSIS_PRODUCTION = True
    app.conf.broker_url = "amqp://broker"
    app.conf.broker_transport_options = {"confirm_publish": True}


def found() -> list[str | None]:
    return [message.id for message in checks.messages(None)]


def test_sound_settings_pass():
    assert found() == []


@pytest.mark.parametrize("inboxes", [{}, {"books": "library.Nothing"}, {"books": "library.Book"}])
def test_a_capability_that_is_consumed_without_an_inbox_is_named(settings, inboxes):
    settings.CHASSIS_INBOXES = inboxes

    assert found() == ["chassis.E001"]


def test_an_inbox_that_forgets_before_the_replays_end_is_refused(settings):
    settings.CHASSIS_INBOX_DAYS, settings.CHASSIS_REPLAY_DAYS = 6, 7

    assert found() == ["chassis.E002"]


def test_tasks_without_confirms_are_refused(app):
    app.conf.broker_transport_options = {}

    assert found() == ["chassis.E003"]


def test_a_lesser_broker_is_refused_in_production_only(settings, app):
    settings.CHASSIS_BROKER_URL = app.conf.broker_url = "redis://broker"
    app.conf.broker_transport_options = {}

    in_production = found()
    settings.CHASSIS_PRODUCTION = False

    assert in_production == ["chassis.E004"]
    assert found() == []


def test_an_event_that_nothing_handles_is_named(settings):
    settings.CHASSIS_CONSUMES = {"books": ["visits.visit.noted", "visits.visit.cancelled"]}

    [problem] = checks.messages(None)

    assert problem.id == "chassis.E005"
    assert "visits.visit.cancelled" in problem.msg


def test_a_project_without_messages_needs_no_broker(settings):
    settings.CHASSIS_CONSUMES = settings.CHASSIS_INBOXES = {}
    settings.CHASSIS_BROKER_URL = "redis://broker"

    assert found() == []


@pytest.mark.parametrize(("installed", "ids"), [(None, []), (object(), ["chassis.W006"])])
def test_a_driver_whose_refusals_are_not_seen_is_named(monkeypatch, installed, ids):
    monkeypatch.setattr(surroundings, "find_spec", lambda name: installed)

    assert [message.id for message in surroundings.drivers(None)] == ids
