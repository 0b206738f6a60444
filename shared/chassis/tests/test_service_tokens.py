from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from chassis.identity import keys, tokens
from conftest import pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import path
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

pytestmark = [pytest.mark.usefixtures("key_file", "service_key"), pytest.mark.django_db]


class CatalogueServices(tokens.ServiceTokenAuthentication):
    audience = "catalogue"


class InternalApi(APIView):
    authentication_classes = (CatalogueServices,)
    permission_classes = (tokens.IsService,)

    def get(self, request):
        return Response({"caller": str(request.user)})


class MixedApi(InternalApi):
    authentication_classes = (tokens.TokenAuthentication,)


urlpatterns = [path("internal", InternalApi.as_view()), path("mixed", MixedApi.as_view())]


@pytest.fixture(autouse=True)
def _urls():
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"]):
        yield


def asking(token: str | None, address: str = "/internal"):
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return APIClient().get(address, headers=headers)


def signed(path, **changes) -> str:
    """A service's token as ours would be, except for the changes."""
    ring = keys.keyring(str(path), setting="SERVICE_KEY_FILE")
    now = datetime.now(UTC)
    claims = {"sub": "service:lending", "aud": "catalogue", "iat": now, "exp": now + timedelta(seconds=60)}
    return jwt.encode(
        claims | {"use": "service"} | changes, ring.keys[ring.signer], algorithm="EdDSA", headers={"kid": ring.signer}
    )


def test_a_service_gets_in_under_its_name():
    answer = asking(tokens.issue_service("catalogue", "lending"))

    assert (answer.status_code, answer.json()) == (200, {"caller": "service:lending"})


def test_without_a_token_the_answer_says_how_to_ask():
    answer = asking(None)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_token_lasts_a_minute(service_key):
    claims = jwt.decode(tokens.issue_service("catalogue", "lending"), options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] == 60


def test_a_token_for_another_audience_opens_nothing():
    assert asking(tokens.issue_service("archive", "lending")).status_code == 401


def test_an_account_s_token_opens_nothing_of_a_service(reader):
    for token in tokens.issue(reader):
        assert asking(token).status_code == 401


def test_a_service_s_token_opens_no_account(reader, service_key, settings):
    settings.TOKEN_KEY_FILE = str(service_key)  # not even where one key signs both
    token = tokens.issue_service("library", str(reader.pk))

    with pytest.raises(tokens.TokenError, match="not for this use"):
        tokens.bearer(token)


def test_an_account_is_no_service_where_views_take_both_kinds(reader):
    assert asking(tokens.issue(reader).access, "/mixed").status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "lending"},
        {"sub": "7"},
        {"aud": ["catalogue", "archive"]},
        {"use": "access"},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_token_that_differs_in_one_claim_is_refused(service_key, changes):
    assert asking(signed(service_key)).status_code == 200
    assert asking(signed(service_key, **changes)).status_code == 401


def test_a_key_that_is_not_trusted_opens_nothing(tmp_path, settings):
    other = tmp_path / "other.pem"
    other.write_bytes(pem(Ed25519PrivateKey.generate()))
    settings.CHASSIS_SERVICE_KEYS = [str(other)]

    assert asking(tokens.issue_service("catalogue", "lending")).status_code == 401


def test_keys_of_several_services_are_trusted_side_by_side(tmp_path, settings, service_key):
    other = tmp_path / "other.pem"
    other.write_bytes(pem(Ed25519PrivateKey.generate()))
    settings.CHASSIS_SERVICE_KEYS = [str(other), str(service_key)]

    assert asking(signed(other)).status_code == 200
    assert asking(signed(service_key)).status_code == 200


def test_where_no_key_is_trusted_every_token_is_refused(settings, service_key):
    token = signed(service_key)
    settings.SERVICE_KEY_FILE = ""

    assert asking(token).status_code == 401


def test_without_a_key_nothing_is_signed(settings):
    settings.SERVICE_KEY_FILE = ""

    with pytest.raises(ImproperlyConfigured, match="SERVICE_KEY_FILE is not set"):
        tokens.issue_service("catalogue", "lending")
