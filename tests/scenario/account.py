"""One customer's account, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from strangler.domain.traffic import Answer, Behaviour, Operation, Unexpected, Write, delete, insert, update

PASSWORD = "Grocery-list-91"
HOUSEHOLD_PASSWORD = "journey-2017"
CITIES = ("Cincinnati", "Columbus", "Dayton", "Louisville", "Lexington", "Indianapolis")
COUNTRIES = ("US", "DE", "FR", "NZ")


class Account:
    """Knows what its customer knows: the credentials, the tokens, and the rows it has made.

    ``token`` is in everything it writes, and in nobody else's.
    """

    def __init__(self, token: str, rng: Random, *, email: str, password: str) -> None:
        self.token = token
        self.rng = rng
        self.email = email
        self.password = password
        self.id = 0
        self.access = ""
        self.refresh_token = ""
        self.lines: list[str] = []
        self._count = 0

    @classmethod
    def new(cls, run: str, number: int, rng: Random) -> Account:
        token = f"{run}-{number}"
        return cls(token, rng, email=f"customer-{token}@example.com", password=PASSWORD)

    @classmethod
    def of_household(cls, household: int, run: str, number: int, rng: Random) -> Account:
        email = f"household-{household}@example.com"
        return cls(f"{run}-{number}", rng, email=email, password=HOUSEHOLD_PASSWORD)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    @property
    def key(self) -> Mapping[str, str]:
        return {"email": self.email}

    def unique(self, word: str) -> str:
        """A text that nobody sends twice."""
        self._count += 1
        return f"{word} {self.token}.{self._count}"

    def register(self) -> Behaviour:
        name = self.unique("Customer")
        answer = yield Operation(
            "POST",
            "/api/v1/users",
            body={"email": self.email, "password": self.password, "full_name": name},
            expected={201},
            writes=(insert("users", "users_user", self.key, {"full_name": name, "is_active": True}),),
            told=self._told_id,
        )
        self.id = answer.json()["id"]

    def register_again(self) -> Behaviour:
        """Refused: the address is taken, by this very account."""
        body = {"email": self.email.upper(), "password": self.password, "full_name": "Nobody"}
        yield Operation("POST", "/api/v1/users", body=body, expected={400})

    def log_in(self, expected: frozenset[int] = frozenset({200})) -> Behaviour:
        """A login is a write: it sets the time of the last one."""
        answer = yield Operation(
            "POST",
            "/api/v1/auth/token",
            body={"email": self.email, "password": self.password},
            expected=expected,
            writes=(update("users", "users_user", self.key, {}),),
        )
        if answer.status == 200:
            self._keep(answer)

    def mistype_password(self) -> Behaviour:
        body = {"email": self.email, "password": "not this one"}
        yield Operation("POST", "/api/v1/auth/token", body=body, expected={401})

    def refresh(self) -> Behaviour:
        """The old access token stays as good as the new one."""
        old = self.access
        answer = yield Operation("POST", "/api/v1/auth/refresh", body={"refresh": self.refresh_token})
        self._keep(answer)
        self.access = self.rng.choice((old, self.access))

    def look_at_profile(self) -> Behaviour:
        answer = yield Operation("GET", "/api/v1/users/me", headers=self.headers)
        profile = answer.json()
        if profile["email"] != self.email or self.id not in (0, profile["id"]):
            raise Unexpected("somebody else's profile")
        self.id = profile["id"]

    def rename(self) -> Behaviour:
        name = self.unique("Customer")
        answer = yield Operation(
            "PATCH",
            "/api/v1/users/me",
            body={"full_name": name},
            headers=self.headers,
            writes=(update("users", "users_user", self.key, {"full_name": name}),),
        )
        if answer.json()["full_name"] != name:
            raise Unexpected("another name than was sent")

    def add_address(self) -> Behaviour:
        line1 = self.unique("Street")
        address = {
            "line1": line1,
            "line2": self.rng.choice(("", "Rear building", "c/o Größe & Söhne")),
            "city": self.rng.choice(CITIES),
            "postal_code": str(self.rng.randrange(10000, 99999)),
            "country": self.rng.choice(COUNTRIES),
        }
        values = {name: value for name, value in address.items() if name != "line1"}
        if self.id:
            values["user_id"] = self.id
        self.lines.append(line1)
        yield Operation(
            "POST",
            "/api/v1/users/me/addresses",
            body=address,
            headers=self.headers,
            expected={201},
            writes=(insert("users", "users_address", {"line1": line1}, values),),
        )

    def list_addresses(self) -> Behaviour:
        answer = yield Operation("GET", "/api/v1/users/me/addresses", headers=self.headers)
        run = self.token.partition("-")[0]
        lines = {address["line1"] for address in answer.json()["results"]}
        if any(f" {run}-" in line for line in lines.difference(self.lines)):
            raise Unexpected("somebody else's addresses")

    def leave(self, forgotten: tuple[Write, ...]) -> Behaviour:
        """Deletes the account with its addresses; ``forgotten`` is what then no longer knows it."""
        gone = tuple(delete("users", "users_address", {"line1": line1}) for line1 in self.lines)
        yield Operation(
            "DELETE",
            "/api/v1/users/me",
            headers=self.headers,
            expected={204},
            writes=(delete("users", "users_user", self.key), *gone, *forgotten),
        )

    def find_door_shut(self) -> Behaviour:
        """After leaving, the password no longer opens anything."""
        body = {"email": self.email, "password": self.password}
        yield Operation("POST", "/api/v1/auth/token", body=body, expected={401})

    def _keep(self, answer: Answer) -> None:
        pair = answer.json()
        self.access, self.refresh_token = pair["access"], pair["refresh"]

    def _told_id(self, answer: Answer) -> list[Write]:
        return [update("users", "users_user", self.key, {"id": answer.json()["id"]})]
