"""The same conversation with all sides; every answer must be the same, except for what is new each time."""

from __future__ import annotations

import pytest

from tests.contract.before import Transcripts, transcripts
from tests.contract.conversations import CONVERSATIONS
from tests.contract.sides import GATEWAY, MONOLITH, SERVICE

STEPS = [
    pytest.param(capability, number, id=f"{capability}-{number}-{step}")
    for capability, steps in CONVERSATIONS.items()
    for number, step in enumerate(steps)
]
BEFORE, HALFWAY, SERVICES, AFTER = "gateway before", "gateway halfway", "services", "gateway after"


@pytest.fixture(scope="module")
def answers(moved, before, halfway, staff) -> dict[str, Transcripts]:
    return {
        MONOLITH: before.transcripts[MONOLITH],
        BEFORE: before.transcripts[GATEWAY],
        HALFWAY: halfway,
        SERVICES: transcripts(moved, SERVICE, staff),
        AFTER: transcripts(moved, GATEWAY, staff),
    }


@pytest.mark.parametrize(("capability", "number"), STEPS)
@pytest.mark.parametrize("which", [BEFORE, HALFWAY, SERVICES, AFTER])
def test_all_answer_as_the_monolith_does(answers, moved, which, capability, number):
    answer, expected = answers[which][capability][number], answers[MONOLITH][capability][number]

    if _is_the_gateway_s(answer):
        assert which != SERVICES
        # It is given before any process has looked at what else may be wrong.
        assert expected["status"] in (401, 406)
        assert answer["body"].keys() == {"detail"}
        assert answer["headers"]["www-authenticate"] == 'Bearer realm="api"'
    else:
        assert answer == expected


def test_the_gateway_refuses_who_has_no_token_and_nobody_else(answers, moved):
    refused = [answer for said in answers[BEFORE].values() for answer in said if _is_the_gateway_s(answer)]

    assert len(refused) > len(CONVERSATIONS)


def _is_the_gateway_s(answer):
    """A process says which methods it allows."""
    return answer["status"] == 401 and answer["headers"]["allow"] is None


def test_no_answer_is_an_error_of_the_server(answers, moved):
    statuses = {
        answer["status"] for by_capability in answers.values() for said in by_capability.values() for answer in said
    }

    assert max(statuses) < 500


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("users", {200, 201, 204, 400, 401, 404, 405, 406, 415}),
        ("products", {200, 201, 400, 401, 403, 404, 405, 406, 409, 415, 422}),
        ("orders", {200, 201, 400, 401, 404, 405, 406, 409, 415, 422}),
    ],
)
def test_a_conversation_comes_to_every_kind_of_answer(answers, moved, capability, expected):
    assert {answer["status"] for answer in answers[MONOLITH][capability]} == expected


def test_orders_end_in_every_way(answers, moved):
    said = [answer["body"] for answer in answers[MONOLITH]["orders"] if answer["status"] in (200, 201)]

    statuses = {body.get("status") for body in said if isinstance(body, dict)}
    assert statuses >= {"confirmed", "rejected", "pending", "cancelled"}
