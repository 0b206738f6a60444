"""What is said to users."""

from __future__ import annotations

from tests.contract.conversation import Step, anonymous
from tests.contract.people import PASSWORD

USERS, TOKEN, REFRESH = "/api/v1/users", "/api/v1/auth/token", "/api/v1/auth/refresh"
ME, ADDRESSES, JWKS = "/api/v1/users/me", "/api/v1/users/me/addresses", "/.well-known/jwks.json"
ADDRESS = {"line1": "1 Long Lane", "line2": "", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}

CONVERSATION = [
    anonymous("POST", USERS, {}),
    anonymous("POST", USERS, []),
    anonymous("POST", USERS, raw=b"{"),
    anonymous("POST", USERS, raw=b""),
    anonymous("POST", USERS, raw=b"email=a", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    anonymous("POST", USERS, {"email": "{email}", "password": PASSWORD, "full_name": "Twin"}),
    anonymous("POST", USERS, {"email": "nobody", "password": "1", "full_name": ""}),
    anonymous("POST", USERS, {"email": 7, "password": 7, "full_name": 7}),
    anonymous("GET", USERS),
    anonymous("OPTIONS", USERS),
    anonymous("POST", USERS + "/", {}),
    anonymous("POST", TOKEN, {"email": "{email}", "password": PASSWORD}),
    anonymous("POST", TOKEN, {"email": "{email}", "password": "wrong"}),
    anonymous("POST", TOKEN, {"email": "nobody@example.org", "password": PASSWORD}),
    anonymous("POST", TOKEN, {}),
    anonymous("GET", TOKEN),
    anonymous("POST", REFRESH, {"refresh": "a.b.c"}),
    anonymous("POST", REFRESH, {}),
    anonymous("GET", JWKS, exact=True),
    anonymous("POST", JWKS, {}),
    anonymous("GET", ME),
    anonymous("GET", ME, headers={"Authorization": "Bearer"}),
    anonymous("GET", ME, headers={"Authorization": "Bearer a b"}),
    anonymous("GET", ME, headers={"Authorization": "Basic YTpi"}),
    anonymous("GET", ME, headers={"Accept": "application/xml"}),
    Step("GET", ME, headers={"Accept": "application/xml"}),
    Step("GET", ME),
    Step("HEAD", ME),
    Step("OPTIONS", ME),
    Step("PUT", ME, {}),
    Step("POST", ME, {}),
    Step("PATCH", ME, {}),
    Step("PATCH", ME, {"full_name": "Grace"}),
    Step("PATCH", ME, {"full_name": None}),
    Step("PATCH", ME, {"email": "{email}"}),
    Step("PATCH", ME, {"email": "nobody"}),
    Step("PATCH", ME, {"password": "another-Passphrase-8"}),
    Step("PATCH", ME, {"unknown": True}),
    Step("GET", ADDRESSES),
    Step("POST", ADDRESSES, {}),
    Step("POST", ADDRESSES, ADDRESS),
    Step("POST", ADDRESSES, ADDRESS | {"country": "gb"}),
    Step("POST", ADDRESSES, ADDRESS | {"country": "XX"}),
    Step("POST", ADDRESSES, ADDRESS | {"line2": None}),
    Step("GET", ADDRESSES),
    Step("GET", ADDRESSES + "?page_size=1"),
    Step("GET", "{next}"),
    Step("GET", ADDRESSES + "?cursor=nonsense"),
    Step("DELETE", ADDRESSES),
    anonymous("GET", "/api/v1/users/1"),
    anonymous("GET", "/internal/users/1"),
    Step("GET", "/internal/users/1"),
    anonymous("GET", "/api/v1/nothing"),
    Step("DELETE", ME),
    Step("GET", ME),
]
