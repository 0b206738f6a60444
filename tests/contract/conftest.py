"""One side after the other: a test that takes ``api`` must hold on all.

The stages follow from what a test asks for: ``shop`` alone is there before anything is copied, ``started`` while the
monolith owns everything, ``moved`` when the services do. There is no way back, so tests are run in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.contract import before as recording
from tests.contract import people
from tests.contract.before import Before, Transcripts
from tests.contract.goods import Shelf
from tests.contract.people import Account, fresh_email, sign_up
from tests.contract.sides import GATEWAY, MONOLITH, SIDES, Shop
from tests.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_stage)


def _stage(item: pytest.Item) -> int:
    asked = getattr(item, "fixturenames", ())
    side = item.callspec.params.get("side", MONOLITH) if hasattr(item, "callspec") else MONOLITH
    return 2 if "moved" in asked or side != MONOLITH else int("started" in asked)


@pytest.fixture(scope="session")
def shop(stack: Stack) -> Shop:
    """Nothing is copied."""
    return Shop(stack)


@pytest.fixture(scope="session")
def started(shop: Shop) -> Shop:
    """Everything is copied, and the monolith owns it."""
    shop.start()
    return shop


@pytest.fixture(scope="session")
def staff(started: Shop) -> Account:
    with started.connect(GATEWAY) as api:
        return people.staff(api)


@pytest.fixture(scope="session")
def before(started: Shop, staff: Account) -> Before:
    """What there was to record before everything moved."""
    return recording.record(started, staff)


@pytest.fixture(scope="session")
def halfway(started: Shop, before: Before, staff: Account) -> Transcripts:
    """The gateway's answers while the monolith has only orders left, and asks others for all that orders need."""
    started.switch("users", "products")
    return recording.transcripts(started, GATEWAY, staff)


@pytest.fixture(scope="session")
def moved(started: Shop, halfway: Transcripts) -> Shop:
    """The services own everything."""
    started.switch("orders")
    return started


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> str:
    """A side that owns the capability that is asked for."""
    shop: Shop = request.getfixturevalue("started" if request.param == MONOLITH else "moved")
    assert request.param == GATEWAY or shop.owners == {request.param}, "the stages are run in their order"
    return request.param


@pytest.fixture
def api(request: pytest.FixtureRequest, side: str, started: Shop) -> Iterator[httpx.Client]:
    """The process that answers there for the capability that the test's module names."""
    with started.connect(side, request.module.CAPABILITY) as client:
        yield client


@pytest.fixture
def gateway(started: Shop) -> Iterator[httpx.Client]:
    """A client that reaches the owner of each capability in either stage, for all that a test needs besides its
    subject."""
    with started.connect(GATEWAY) as client:
        yield client


@pytest.fixture
def shelf(gateway: httpx.Client, staff: Account) -> Shelf:
    return Shelf(gateway, staff)


@pytest.fixture
def register(gateway: httpx.Client) -> Callable[[], Account]:
    return lambda: sign_up(gateway, fresh_email())


@pytest.fixture
def account(register: Callable[[], Account]) -> Account:
    return register()
