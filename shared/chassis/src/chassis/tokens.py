"""Access and refresh tokens: JWTs signed with an Ed25519 key that all sides of a move share.

``TOKEN_KEY_FILE`` (a setting) is a PEM file; its first private key signs, and each key in it
verifies, so that a key is replaced by putting the new one on top. ``CHASSIS_AUDIENCE`` names whom
the tokens are for.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from chassis.seam import await_row

ALGORITHM = "EdDSA"
ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=14)

Use = Literal["access", "refresh"]

_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)


class TokenError(Exception):
    """The token opens nothing; the text may be shown to the client."""


class TokenPair(NamedTuple):
    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Private keys by key id; ``signer`` is the id of the one that signs."""

    signer: str
    keys: dict[str, Ed25519PrivateKey]


def issue(user: AbstractBaseUser) -> TokenPair:
    """A new pair for the user: 15 minutes of access, 14 days to ask for more."""
    return TokenPair(
        access=_sign(user, use="access", lifetime=ACCESS_LIFETIME),
        refresh=_sign(user, use="refresh", lifetime=REFRESH_LIFETIME),
    )


def verify(token: str, *, use: Use = "access") -> dict[str, Any]:
    """The claims of a token that one of our keys signed, for our audience, for this use, in time.

    Raises TokenError.
    """
    try:
        keys = _keyring(settings.TOKEN_KEY_FILE).keys
        key = keys[str(jwt.get_unverified_header(token).get("kid"))]
        claims: dict[str, Any] = jwt.decode(
            token,
            key.public_key(),
            algorithms=[ALGORITHM],
            audience=settings.CHASSIS_AUDIENCE,
            options={"require": ["sub", "aud", "exp", "iat"], "strict_aud": True},
        )
    except KeyError:
        raise TokenError("Token is signed with an unknown key.") from None
    except jwt.ExpiredSignatureError:
        raise TokenError("Token has expired.") from None
    except jwt.InvalidTokenError:
        raise TokenError("Token is invalid.") from None
    if claims.get("use") != use:
        raise TokenError("Token is not for this use.")
    return claims


def bearer(token: str, *, use: Use = "access", request: HttpRequest | None = None) -> AbstractBaseUser:
    """The active user to whom the token was issued.

    Where accounts are owned elsewhere, a row that has not arrived yet is waited for. Raises TokenError.
    """
    claims = verify(token, use=use)
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
    """The keys that verify tokens, as a JSON Web Key Set."""
    ring = _keyring(settings.TOKEN_KEY_FILE)
    return {"keys": [{"kid": kid, "use": "sig", "alg": ALGORITHM, **_public(key)} for kid, key in ring.keys.items()]}


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer …``; without the header the request is anonymous."""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, str] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Authorization header is malformed.")
        token = words[1].decode("latin-1")
        try:
            return bearer(token, request=request._request), token
        except TokenError as error:
            raise AuthenticationFailed(str(error)) from None

    def authenticate_header(self, request: Request) -> str:
        return f'{self.keyword} realm="api"'


def _sign(user: AbstractBaseUser, *, use: Use, lifetime: timedelta) -> str:
    ring = _keyring(settings.TOKEN_KEY_FILE)
    now = datetime.now(UTC)
    claims = {
        "sub": str(user.pk),
        "aud": settings.CHASSIS_AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
        "jti": uuid.uuid4().hex,
        "use": use,
    }
    return jwt.encode(claims, ring.keys[ring.signer], algorithm=ALGORITHM, headers={"kid": ring.signer})


@functools.lru_cache(maxsize=8)
def _keyring(path: str) -> KeyRing:
    try:
        blocks = _PEM.findall(Path(path).read_bytes())
    except OSError as error:
        raise ImproperlyConfigured(f"TOKEN_KEY_FILE: {path} cannot be read: {error.strerror}") from error
    keys = {}
    for block in blocks:
        key = serialization.load_pem_private_key(block, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ImproperlyConfigured(f"TOKEN_KEY_FILE: {path} holds a key that is not Ed25519")
        keys[_thumbprint(key)] = key
    if not keys:
        raise ImproperlyConfigured(f"TOKEN_KEY_FILE: {path} holds no private key in PEM")
    return KeyRing(signer=next(iter(keys)), keys=keys)


def _public(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64(key.public_key().public_bytes_raw())}


def _thumbprint(key: Ed25519PrivateKey) -> str:
    """RFC 7638: the same id wherever it is computed, so nothing has to be named in a configuration."""
    canonical = json.dumps(_public(key), sort_keys=True, separators=(",", ":"))
    return _base64(hashlib.sha256(canonical.encode()).digest())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
