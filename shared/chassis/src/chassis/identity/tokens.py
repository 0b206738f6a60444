"""Tokens: JWTs signed with Ed25519 keys, for those who have an account and for services.

**Of accounts.** Access and refresh tokens are signed by the sides that have accounts, with a key that they share.
``TOKEN_KEY_FILE`` (a setting) is a PEM file; its first private key signs, and each key in it verifies and is published,
public halves as well. A key is replaced by putting the new one below, and when everybody knows it, on top. A process
without that file verifies by what ``CHASSIS_JWKS_URL`` publishes, and signs nothing. ``CHASSIS_AUDIENCE`` names the
audience of the tokens. With ``CHASSIS_ACCOUNTS = "remote"`` the process has no table of accounts: ``request.user`` is
then a Principal, made of the token alone.

**Of services.** A service calls another one in its own name with a token that is valid for one minute and for that
audience. The token is signed with ``SERVICE_KEY_FILE``. A service trusts it when its ``CHASSIS_SERVICE_KEYS`` (PEM
files, public halves will do) hold the key. Such tokens keep out everybody without such a key, whatever account's token
they have. A token that was taken from a request opens no other audience, no account, and nothing after its minute.
These tokens do not keep out a service that has been taken over: everybody who has a trusted key can claim to be any
service, so ``sub`` is for logs and not for decisions. They also do not stop somebody who reads the traffic from using a
token again within its minute.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, NamedTuple

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest

from chassis import settings
from chassis.extras import missing
from chassis.identity import jwks as published
from chassis.identity import keys
from chassis.identity.keys import ALGORITHM, KeyRing
from chassis.identity.principals import Principal, ServicePrincipal
from chassis.ownership.seam import await_row
from chassis.process import about

try:
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from rest_framework.authentication import BaseAuthentication, get_authorization_header
    from rest_framework.exceptions import AuthenticationFailed
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request
except ImportError as error:
    raise missing("identity", error) from error

ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=14)
SERVICE_LIFETIME = timedelta(minutes=1)
# The machines that sign and those that verify have clocks which differ a little.
LEEWAY = timedelta(seconds=5)

Use = Literal["access", "refresh", "service"]

LONGEST_CHARACTERS = 8_192  # characters; as much as a header holds

_SERVICE = "service:"


class TokenError(Exception):
    """The token opens nothing; the text may be shown to the client."""


class TokenPair(NamedTuple):
    access: str
    refresh: str


def issue(user: AbstractBaseUser) -> TokenPair:
    """A new pair for the user: 15 minutes of access, 14 days to ask for more."""
    ring = _account_ring()
    who = {"sub": str(user.pk), "aud": django_settings.CHASSIS_AUDIENCE}
    staff = bool(getattr(user, "is_staff", False))
    return TokenPair(
        access=_sign(ring, {**who, "use": "access", "staff": staff}, ACCESS_LIFETIME),
        refresh=_sign(ring, {**who, "use": "refresh"}, REFRESH_LIFETIME),
    )


def issue_service(audience: str, subject: str) -> str:
    """A token by which the service ``subject`` may call the service ``audience`` for a minute.

    Raises ImproperlyConfigured where the process has no ``SERVICE_KEY_FILE``.
    """
    path = getattr(django_settings, "SERVICE_KEY_FILE", "")
    if not path:
        raise ImproperlyConfigured("SERVICE_KEY_FILE is not set: no token of a service can be signed")
    ring = keys.keyring(str(path), setting="SERVICE_KEY_FILE")
    return _sign(ring, {"sub": _SERVICE + subject, "aud": audience, "use": "service"}, SERVICE_LIFETIME)


def verify(token: str, *, use: Use = "access") -> dict[str, Any]:
    """The claims of a token that a key of the accounts has signed, for our audience and this use, and that has not
    expired.

    Raises:
        TokenError: it is not such a token.
        KeysUnavailable: the published keys cannot be had, so nobody knows.
    """
    return _verify(token, _account_key, audience=django_settings.CHASSIS_AUDIENCE, use=use)


def verify_service(token: str, *, audience: str) -> ServicePrincipal:
    """The service that calls the audience. Raises TokenError."""
    claims = _verify(token, _service_key, audience=audience, use="service")
    subject = str(claims["sub"])
    if not subject.startswith(_SERVICE):
        raise TokenError("Token is not of a service.")
    return ServicePrincipal(subject.removeprefix(_SERVICE))


def bearer(token: str, *, use: Use = "access", request: HttpRequest | None = None) -> AbstractBaseUser | Principal:
    """The active user to whom the token was issued; a Principal where accounts are remote.

    Where another side owns the accounts, this waits for a row that has not arrived yet.

    Raises:
        TokenError: the token opens nothing, or there is no such user.
        KeysUnavailable: the published keys cannot be had, so nobody knows.
    """
    claims = verify(token, use=use)
    if settings.remote_accounts():
        return _principal(claims)
    model = get_user_model()
    try:
        key = model._meta.pk.to_python(claims["sub"])
    except ValidationError:
        raise TokenError("Token is invalid.") from None
    user = await_row(model, key, request=request)
    if user is None or not user.is_active:
        raise TokenError("User not found or inactive.")
    return user


def jwks() -> dict[str, list[dict[str, str]]]:
    """The keys that verify accounts' tokens, as a JSON Web Key Set."""
    public = _account_ring().public
    return {"keys": [{"kid": kid, "use": "sig", "alg": ALGORITHM, **keys.web_key(key)} for kid, key in public.items()]}


def remote_keys() -> published.RemoteKeys | None:
    """The published keys that verify accounts' tokens here; None where the process has keys itself."""
    url, own = settings.jwks_url(), getattr(django_settings, "TOKEN_KEY_FILE", "")
    return published.source(url, settings.jwks_age(), settings.jwks_kept()) if url and not own else None


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer …``; without the header the request is anonymous."""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | Principal | ServicePrincipal, str] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Authorization header is malformed.")
        token = words[1].decode("latin-1")
        try:
            found = self.whose(token, request)
        except TokenError as error:
            raise AuthenticationFailed(str(error)) from None
        if not isinstance(found, ServicePrincipal):
            about.note_user(found.pk)
        return found, token

    def whose(self, token: str, request: Request) -> AbstractBaseUser | Principal | ServicePrincipal:
        """The account or service that acts by the token. Raises TokenError."""
        return bearer(token, request=request._request)

    def authenticate_header(self, request: Request) -> str:
        return f'{self.keyword} realm="api"'


class ServiceTokenAuthentication(TokenAuthentication):
    """The same header with a service's token; a subclass names the ``audience`` whose views it guards."""

    audience: ClassVar[str]

    def whose(self, token: str, request: Request) -> ServicePrincipal:
        """The service that acts. Raises TokenError."""
        return verify_service(token, audience=self.audience)


class IsService(BasePermission):
    """Open to services, closed to everybody else; goes with ServiceTokenAuthentication."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.user, ServicePrincipal)


def _principal(claims: Mapping[str, Any]) -> Principal:
    subject = str(claims["sub"])
    if not (subject.isascii() and subject.isdecimal()):
        raise TokenError("Token is invalid.")
    # Tokens of a version without this claim are still in use; their owner counts as no staff.
    return Principal(pk=int(subject), is_staff=claims.get("staff") is True)


def _account_ring() -> KeyRing:
    path = getattr(django_settings, "TOKEN_KEY_FILE", "")
    if not path:
        raise ImproperlyConfigured("TOKEN_KEY_FILE is not set: this process signs and publishes no keys of accounts")
    return keys.keyring(str(path), setting="TOKEN_KEY_FILE")


def _account_key(kid: str) -> Ed25519PublicKey:
    remote = remote_keys()
    return _account_ring().public[kid] if remote is None else remote.key(kid)


def _service_key(kid: str) -> Ed25519PublicKey:
    return keys.trusted(settings.service_keys(), setting="CHASSIS_SERVICE_KEYS")[kid]


def _sign(ring: KeyRing, claims: Mapping[str, Any], lifetime: timedelta) -> str:
    now = datetime.now(UTC)
    dated = {**claims, "iat": now, "exp": now + lifetime, "jti": uuid.uuid4().hex}
    return jwt.encode(dated, ring.keys[ring.signer], algorithm=ALGORITHM, headers={"kid": ring.signer})


def _verify(token: str, key_of: Callable[[str], Ed25519PublicKey], *, audience: str, use: Use) -> dict[str, Any]:
    if len(token) > LONGEST_CHARACTERS:
        raise TokenError("Token is invalid.")
    try:
        key = key_of(str(jwt.get_unverified_header(token).get("kid")))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            leeway=LEEWAY,
            options={"require": ["sub", "aud", "exp", "iat"], "strict_aud": True},
        )
    except KeyError:
        raise TokenError("Token is signed with an unknown key.") from None
    except jwt.ExpiredSignatureError:
        raise TokenError("Token has expired.") from None
    except (jwt.InvalidTokenError, RecursionError):
        # A token's header is JSON that anybody may have written, so it may be nested without end.
        raise TokenError("Token is invalid.") from None
    if claims.get("use") != use:
        raise TokenError("Token is not for this use.")
    return claims
