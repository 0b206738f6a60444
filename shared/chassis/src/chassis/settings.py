"""The chassis' own settings, each with its value where Django's settings do not name one."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from chassis import addresses, environment

SHORTEST_SECRET = 32  # characters


def hold_seconds() -> float:
    """``CHASSIS_HOLD_SECONDS``: how long a request waits for an owner at most."""
    return float(_setting("CHASSIS_HOLD_SECONDS", 5.0))


def threads() -> int:
    """``WEB_THREADS`` of the environment, which `chassis.servers.gunicorn` writes; its default under another server."""
    return int(os.environ.get("WEB_THREADS") or 32)


def hold_limit() -> int:
    """``CHASSIS_HOLD_LIMIT``: how many threads of a process may wait for the same kind of thing. The default is half of
    them."""
    return int(_setting("CHASSIS_HOLD_LIMIT", max(1, threads() // 2)))


def wait_limit() -> int:
    """``CHASSIS_WAIT_LIMIT``: how many threads of a process may wait in all. The default is three quarters of them."""
    return int(_setting("CHASSIS_WAIT_LIMIT", max(1, threads() - max(1, threads() // 4))))


def at_work() -> int:
    """``CHASSIS_AT_WORK``: how many requests of a process are worked on at the same time. The default is
    ``WEB_AT_WORK`` of the environment, or 4."""
    return max(1, int(_setting("CHASSIS_AT_WORK", os.environ.get("WEB_AT_WORK") or 4)))


def hashing_places() -> int:
    """``CHASSIS_HASHING``: how many passwords a process hashes at the same time. The default is ``WEB_HASHING`` of the
    environment, or 1."""
    return max(1, int(_setting("CHASSIS_HASHING", os.environ.get("WEB_HASHING") or 1)))


def hashing_queue() -> int:
    """``CHASSIS_HASHING_QUEUE``: how many passwords of a process may wait to be hashed. The default is a quarter of its
    threads, at least 8, but never more than half of the threads."""
    return int(_setting("CHASSIS_HASHING_QUEUE", min(max(8, threads() // 4), max(1, threads() // 2))))


def bounce_limit() -> int:
    """``CHASSIS_BOUNCE_LIMIT``: the largest body in bytes that the gateway can repeat; larger ones are forwarded."""
    return int(_setting("CHASSIS_BOUNCE_LIMIT", 900_000))


def max_body() -> int:
    """``CHASSIS_MAX_BODY``: the largest body in bytes that is taken in; larger ones are answered with 413."""
    return int(_setting("CHASSIS_MAX_BODY", 16 * 1024 * 1024))


def seam_wait() -> float:
    """``CHASSIS_SEAM_WAIT``: how many seconds a request waits for a row that the owner has."""
    return float(_setting("CHASSIS_SEAM_WAIT", 10.0))


def owner_paths() -> Mapping[str, str]:
    """``CHASSIS_OWNER_PATHS``: by model label, the path to GET from the owner to learn whether a row is there.

    ``{pk}`` in the path stands for the row's primary key.

    The request's own Authorization header goes with it, so the path is one that answers for the caller.
    """
    paths: Mapping[str, str] = _setting("CHASSIS_OWNER_PATHS", {})
    return paths


def remote_accounts() -> bool:
    """``CHASSIS_ACCOUNTS``: ``local`` where the accounts are a table of this database, ``remote`` where there is no
    such table.

    Raises ImproperlyConfigured.
    """
    kind = _setting("CHASSIS_ACCOUNTS", "local")
    if kind not in {"local", "remote"}:
        raise ImproperlyConfigured(f"CHASSIS_ACCOUNTS={kind!r} is neither 'local' nor 'remote'")
    return bool(kind == "remote")


def jwks_url() -> str:
    """``CHASSIS_JWKS_URL``: where a process without ``TOKEN_KEY_FILE`` gets the keys that verify accounts' tokens."""
    return str(_setting("CHASSIS_JWKS_URL", ""))


def jwks_age() -> float:
    """``CHASSIS_JWKS_AGE``: seconds after which fetched keys are fetched anew."""
    return float(_setting("CHASSIS_JWKS_AGE", 300.0))


def jwks_kept() -> float:
    """``CHASSIS_JWKS_KEPT``: seconds for which fetched keys are used while they cannot be fetched anew."""
    return float(_setting("CHASSIS_JWKS_KEPT", 3600.0))


def service_keys() -> tuple[str, ...]:
    """``CHASSIS_SERVICE_KEYS``: PEM files of the keys whose service tokens are trusted. The default is
    ``SERVICE_KEY_FILE`` alone, for services that all share one key."""
    own = _setting("SERVICE_KEY_FILE", "")
    return tuple(_setting("CHASSIS_SERVICE_KEYS", None) or ([own] if own else []))


def counts() -> str:
    """``CHASSIS_COUNTS``: ``database`` where all processes of a side count together what is limited, ``process`` where
    each counts for itself.

    Raises ImproperlyConfigured.
    """
    where = str(_setting("CHASSIS_COUNTS", "database"))
    if where not in {"database", "process"}:
        raise ImproperlyConfigured(f"CHASSIS_COUNTS={where!r} is neither 'database' nor 'process'")
    return where


def login_tries() -> int:
    """``CHASSIS_LOGIN_TRIES``: how many passwords of one account may be tried in vain within a quarter of an hour."""
    return int(_setting("CHASSIS_LOGIN_TRIES", 10))


def identity_url() -> str:
    """``CHASSIS_IDENTITY_URL``: the process of the side that has the accounts, which is asked who somebody is. Empty at
    that side."""
    return str(_setting("CHASSIS_IDENTITY_URL", ""))


def identity_secrets() -> tuple[str, ...]:
    """``CHASSIS_IDENTITY_SECRETS``: what signs these questions and their answers. The first one signs, all verify.

    Raises ImproperlyConfigured, also where one is so short that it could be found.
    """
    given = _setting("CHASSIS_IDENTITY_SECRETS", ())
    if isinstance(given, str) or not all(isinstance(each, str) for each in given):
        raise ImproperlyConfigured("CHASSIS_IDENTITY_SECRETS is no list of texts")
    if any(len(each) < SHORTEST_SECRET for each in given):
        raise ImproperlyConfigured(
            f"a secret in CHASSIS_IDENTITY_SECRETS has fewer than {SHORTEST_SECRET} characters: who has seen one "
            "question could find it, and then be told of everybody"
        )
    return tuple(given)


def identity_seconds() -> float:
    """``CHASSIS_IDENTITY_SECONDS``: how many seconds after a question began its answer may be used."""
    return float(_setting("CHASSIS_IDENTITY_SECONDS", 5.0))


def identity_timeout() -> float:
    """``CHASSIS_IDENTITY_TIMEOUT``: how many seconds a request waits for such an answer."""
    return float(_setting("CHASSIS_IDENTITY_TIMEOUT", 2.0))


def identity_attributes() -> Sequence[str]:
    """``CHASSIS_IDENTITY_ATTRIBUTES``: fields and properties of a user that are told besides what is always told;
    with a point, of the one row of a relation."""
    names: Sequence[str] = _setting("CHASSIS_IDENTITY_ATTRIBUTES", ())
    return names


def identity_tokens() -> str:
    """``CHASSIS_IDENTITY_TOKENS``: the class of REST framework whose ``authenticate_credentials`` knows the tokens."""
    return str(_setting("CHASSIS_IDENTITY_TOKENS", "rest_framework.authentication.TokenAuthentication"))


def calls_in_transactions() -> bool:
    """``CHASSIS_CALLS_IN_TRANSACTIONS``: whether ``chassis.calls.client`` may be used while a transaction is open."""
    return bool(_setting("CHASSIS_CALLS_IN_TRANSACTIONS", False))


def open_without_move() -> bool:
    """``CHASSIS_OPEN_WITHOUT_MOVE``: whether this side owns a capability that no move concerns. It is False in a
    service that a move fills: until the move, its queue and its tasks are the monolith's, and it takes no writes."""
    return bool(_setting("CHASSIS_OPEN_WITHOUT_MOVE", True))


def consumes() -> Mapping[str, Sequence[str]]:
    """``CHASSIS_CONSUMES``: for each capability that may be consumed here, the types of event that are bound to its
    queue."""
    types: Mapping[str, Sequence[str]] = _setting("CHASSIS_CONSUMES", {})
    return types


def inboxes() -> Mapping[str, str]:
    """``CHASSIS_INBOXES``: by capability, the label of its inbox model."""
    labels: Mapping[str, str] = _setting("CHASSIS_INBOXES", {})
    return labels


def capabilities() -> Set[str]:
    """The capabilities that may be owned here, as far as ``CHASSIS_CONSUMES`` and ``CHASSIS_INBOXES`` name them."""
    return consumes().keys() | inboxes().keys()


def inbox_days() -> int:
    """``CHASSIS_INBOX_DAYS``: how many days the inbox remembers that a message was handled."""
    return int(_setting("CHASSIS_INBOX_DAYS", 30))


def idempotency_days() -> int:
    """``CHASSIS_IDEMPOTENCY_DAYS``: how many days the answer to an idempotency key is kept."""
    return int(_setting("CHASSIS_IDEMPOTENCY_DAYS", 30))


def lanes() -> int:
    """``CHASSIS_LANES``: how many messages of a capability a worker process handles at once."""
    return int(_setting("CHASSIS_LANES", 8))


def prefetch() -> int:
    """``CHASSIS_PREFETCH``: how many messages of a capability a worker process takes before they are handled."""
    return int(_setting("CHASSIS_PREFETCH", 200))


def broker_url() -> str:
    """``CHASSIS_BROKER_URL``: the broker of the messages. The default is the environment's ``BROKER_URL``.

    Raises ImproperlyConfigured.
    """
    own = str(_setting("CHASSIS_BROKER_URL", ""))
    url = own or environment.secret("BROKER_URL")
    addresses.check_broker("CHASSIS_BROKER_URL" if own else "BROKER_URL", url)
    return url


def unheard() -> Collection[str]:
    """``CHASSIS_UNHEARD``: the types of event that count as published even if nobody listens."""
    types: Collection[str] = _setting("CHASSIS_UNHEARD", ())
    return types


def replay_days() -> int:
    """``CHASSIS_REPLAY_DAYS``: how many days published events are kept to be sent again."""
    return int(_setting("CHASSIS_REPLAY_DAYS", 7))


def contracts() -> Path | None:
    """``CHASSIS_CONTRACTS``: the folder of the messages' schemas, ``<type>.json``."""
    folder = _setting("CHASSIS_CONTRACTS", None)
    return Path(folder) if folder else None


def validate() -> bool:
    """``CHASSIS_VALIDATE``: whether messages are checked against their schemas when they are written; for tests."""
    return bool(_setting("CHASSIS_VALIDATE", False))


def loose() -> Sequence[str]:
    """``CHASSIS_LOOSE``: relations of installed packages, as ``app.Model.field``, to rows that another side owns."""
    names: Sequence[str] = _setting("CHASSIS_LOOSE", ())
    return names


def instrumentors() -> Sequence[str]:
    """``CHASSIS_INSTRUMENTORS``: classes of published OpenTelemetry instrumentations that are to be switched on with
    the chassis' own spans."""
    paths: Sequence[str] = _setting("CHASSIS_INSTRUMENTORS", ())
    return paths


def owned_admins() -> Mapping[str, Sequence[str]]:
    """``CHASSIS_OWNED_ADMINS``: by capability the apps and models (``app``, ``app.Model``) whose admins are
    `chassis.ownership.admin.OwnedAdmin` without saying so.

    Raises ImproperlyConfigured.
    """
    found: Mapping[str, Sequence[str]] = _setting("CHASSIS_OWNED_ADMINS", {})
    lists = found.values() if isinstance(found, Mapping) else [""]
    if not all(isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) for names in lists):
        raise ImproperlyConfigured('CHASSIS_OWNED_ADMINS is no dict of lists, as {"billing": ["billing", "core.Tax"]}')
    return found


def checked() -> Mapping[str, str]:
    """``CHASSIS_CHECKED``: by identifier and place of a finding of ``strangler_check``, why it is no fault.

    Raises ImproperlyConfigured.
    """
    found: Mapping[str, str] = _setting("CHASSIS_CHECKED", {})
    is_mapping = isinstance(found, Mapping)
    texts = [*found.keys(), *found.values()] if is_mapping else []
    if not is_mapping or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ImproperlyConfigured("CHASSIS_CHECKED is no dict of texts")
    return found


def _setting(name: str, default: Any) -> Any:
    return getattr(settings, name, default)
