from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jwt
import pytest
from chassis.identity import keys, tokens
from conftest import pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

pytestmark = pytest.mark.usefixtures("key_file")


@pytest.fixture(autouse=True)
def seam(monkeypatch):
    """Nothing is on its way here, unless a test says so."""
    fake = SimpleNamespace(arriving=None)

    def await_row(model, pk, *, request):
        return model.objects.filter(pk=pk).first() or fake.arriving

    monkeypatch.setattr(tokens, "await_row", await_row)
    return fake


def request_with(header: str | None) -> Request:
    headers = {} if header is None else {"authorization": header}
    return Request(APIRequestFactory().get("/", headers=headers))


def signed(key: Ed25519PrivateKey, **changes) -> str:
    """A token as ours would be, except for the changes; a claim set to None is left out."""
    now = datetime.now(UTC)
    claims = {"sub": "1", "aud": "library", "iat": now, "exp": now + timedelta(minutes=1), "use": "access"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    kid = tokens.jwks()["keys"][0]["kid"]
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid})


@pytest.fixture
def key(key_file) -> Ed25519PrivateKey:
    ring = keys.keyring(str(key_file), setting="TOKEN_KEY_FILE")
    return ring.keys[ring.signer]


def test_an_access_token_names_its_user_and_audience(reader):
    claims = tokens.verify(tokens.issue(reader).access)

    assert claims["sub"] == str(reader.pk)
    assert claims["aud"] == "library"
    assert claims["exp"] - claims["iat"] == 15 * 60


def test_a_refresh_token_lasts_a_fortnight_and_opens_nothing_else(reader):
    refresh = tokens.issue(reader).refresh

    claims = tokens.verify(refresh, use="refresh")
    assert claims["exp"] - claims["iat"] == 14 * 24 * 3600
    with pytest.raises(tokens.TokenError, match="not for this use"):
        tokens.verify(refresh)


def test_the_published_key_verifies_a_token_with_nothing_else_known(reader):
    token = tokens.issue(reader).access
    published = jwt.PyJWKSet.from_dict(tokens.jwks())

    kid = jwt.get_unverified_header(token)["kid"]
    claims = jwt.decode(token, published[kid], algorithms=["EdDSA"], audience="library")

    assert claims["sub"] == str(reader.pk)


def test_the_published_key_holds_no_private_part():
    assert {"crv", "kty", "x", "kid", "use", "alg"} == set(tokens.jwks()["keys"][0])


def test_a_new_key_on_top_signs_and_the_old_one_still_verifies(reader, tmp_path, key_file, settings):
    old = tokens.issue(reader).access
    both = tmp_path / "both.pem"
    both.write_bytes(pem(Ed25519PrivateKey.generate()) + key_file.read_bytes())
    settings.TOKEN_KEY_FILE = str(both)

    new = tokens.issue(reader).access

    assert tokens.verify(old)["sub"] == tokens.verify(new)["sub"]
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    assert len(tokens.jwks()["keys"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "elsewhere"},
        {"aud": ["library", "elsewhere"]},
        {"aud": None},
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"exp": None},
        {"sub": None},
        {"use": None},
        {"use": "refresh"},
    ],
)
def test_a_token_that_differs_in_one_claim_is_refused(key, changes):
    with pytest.raises(tokens.TokenError):
        tokens.verify(signed(key, **changes))


def test_a_signature_of_another_key_under_our_key_id_is_refused():
    with pytest.raises(tokens.TokenError):
        tokens.verify(signed(Ed25519PrivateKey.generate()))


def test_a_token_of_an_unknown_key_is_refused(reader):
    alien = jwt.encode({"sub": "1"}, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers={"kid": "another"})
    with pytest.raises(tokens.TokenError, match="unknown key"):
        tokens.verify(alien)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_no_other_algorithm_is_allowed_whatever_the_token_says(reader, algorithm):
    _head, body, _ = tokens.issue(reader).access.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    secret = None if algorithm == "none" else tokens.jwks()["keys"][0]["x"] + "padding-to-32-bytes"
    kid = tokens.jwks()["keys"][0]["kid"]

    with pytest.raises(tokens.TokenError):
        tokens.verify(jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid}))


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "é"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(tokens.TokenError):
        tokens.verify(token)


def test_authentication_finds_the_user(reader):
    access = tokens.issue(reader).access

    user, token = tokens.TokenAuthentication().authenticate(request_with(f"Bearer {access}"))

    assert user == reader
    assert token == access


@pytest.mark.parametrize("header", [None, "", "Basic abc"])
def test_a_request_without_our_header_is_anonymous(header):
    assert tokens.TokenAuthentication().authenticate(request_with(header)) is None


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer é", "Bearer a.b.c"])
def test_a_malformed_header_is_refused(header):
    with pytest.raises(AuthenticationFailed):
        tokens.TokenAuthentication().authenticate(request_with(header))


def test_an_inactive_user_is_refused(reader):
    access = tokens.issue(reader).access
    User.objects.update(is_active=False)

    with pytest.raises(tokens.TokenError, match="inactive"):
        tokens.bearer(access)


def test_a_row_that_is_still_on_its_way_is_waited_for(reader, seam):
    access = tokens.issue(reader).access
    seam.arriving = User(pk=reader.pk, username="ada")
    User.objects.all().delete()

    assert tokens.bearer(access) is seam.arriving


def test_a_row_that_never_arrives_is_a_refusal(reader):
    access = tokens.issue(reader).access
    User.objects.all().delete()

    with pytest.raises(tokens.TokenError, match="not found"):
        tokens.bearer(access)


@pytest.mark.django_db
def test_a_subject_that_is_no_key_of_the_model_is_refused(key):
    with pytest.raises(tokens.TokenError):
        tokens.bearer(signed(key, sub="ada"))


def test_an_access_token_says_who_is_staff_and_a_refresh_token_nothing_of_it(reader):
    customer = tokens.issue(reader)
    reader.is_staff = True
    staff = tokens.issue(reader)

    assert tokens.verify(customer.access)["staff"] is False
    assert tokens.verify(staff.access)["staff"] is True
    assert "staff" not in tokens.verify(staff.refresh, use="refresh")


def test_where_accounts_are_here_the_row_decides_and_not_the_claim(key, reader):
    assert not tokens.bearer(signed(key, sub=str(reader.pk), staff=True)).is_staff


def test_clocks_may_differ_a_little(key):
    now = datetime.now(UTC)

    assert tokens.verify(signed(key, iat=now + timedelta(seconds=2), exp=now + timedelta(minutes=1)))
    assert tokens.verify(signed(key, exp=now - timedelta(seconds=2)))


def test_clocks_may_not_differ_much(key):
    now = datetime.now(UTC)

    with pytest.raises(tokens.TokenError):
        tokens.verify(signed(key, iat=now + timedelta(seconds=20)))
    with pytest.raises(tokens.TokenError, match="expired"):
        tokens.verify(signed(key, exp=now - timedelta(seconds=20)))


def test_a_process_with_neither_keys_nor_an_address_of_them_says_which_setting_to_mend(key, settings):
    token = signed(key)
    settings.TOKEN_KEY_FILE = ""

    with pytest.raises(ImproperlyConfigured, match="TOKEN_KEY_FILE is not set"):
        tokens.verify(token)
    with pytest.raises(ImproperlyConfigured, match="TOKEN_KEY_FILE is not set"):
        tokens.jwks()


class TestPrincipals:
    """Where accounts are remote."""

    @pytest.fixture(autouse=True)
    def _remote(self, settings):
        settings.CHASSIS_ACCOUNTS = "remote"

    def test_a_token_makes_a_principal_and_no_table_is_asked(self, key):
        user, _ = tokens.TokenAuthentication().authenticate(request_with(f"Bearer {signed(key, sub='7')}"))

        assert (user.pk, user.id, str(user)) == (7, 7, "7")
        assert (user.is_authenticated, user.is_active, user.is_anonymous) == (True, True, False)

    @pytest.mark.parametrize(("claim", "expected"), [(True, True), (False, False), (None, False), ("true", False)])
    def test_it_is_staff_when_the_token_says_so_and_an_old_token_does_not(self, key, claim, expected):
        assert tokens.bearer(signed(key, staff=claim)).is_staff is expected

    def test_the_framework_s_own_permissions_take_it(self, key):
        request = request_with(f"Bearer {signed(key, staff=True)}")
        request.authenticators = [tokens.TokenAuthentication()]

        assert IsAuthenticated().has_permission(request, None)
        assert IsAdminUser().has_permission(request, None)

    @pytest.mark.parametrize("subject", ["ada", "-1", "1.5", "", "service:lending", "٣"])
    def test_a_subject_that_is_no_number_is_refused(self, key, subject):
        with pytest.raises(tokens.TokenError, match="invalid"):
            tokens.bearer(signed(key, sub=subject))

    def test_a_refresh_token_makes_none(self, key):
        with pytest.raises(tokens.TokenError, match="not for this use"):
            tokens.bearer(signed(key, use="refresh"))

    def test_another_word_for_where_accounts_are_is_refused(self, key, settings):
        settings.CHASSIS_ACCOUNTS = "abroad"

        with pytest.raises(ImproperlyConfigured, match="CHASSIS_ACCOUNTS='abroad'"):
            tokens.bearer(signed(key))


@pytest.mark.parametrize(
    "header",
    [b"[" * 3_000, b'{"a":' * 1_000 + b"1" + b"}" * 1_000, b'{"alg":"EdDSA","kid":"\\ud800"}', b"\xff", b"9" * 5_000],
)
def test_a_header_that_anybody_may_have_written_opens_nothing(key_file, header):
    token = f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.e30.x"

    with pytest.raises(tokens.TokenError):
        tokens.verify(token)


@pytest.mark.parametrize("token", ["", ".", "..", "é.é.é", "a" * 100_000, "." * 8_000])
def test_what_is_no_token_opens_nothing(key_file, token):
    with pytest.raises(tokens.TokenError):
        tokens.verify(token)
