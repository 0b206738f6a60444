"""The frame's rules: what may be copied of settings, how values and URLs are written, what a service has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from strangler.extract.frame import assignments, secrecy, settings, spelling


def taken(tmp_path: Path, text: str, name: str = "X", *, depth: int = 1, foreign: tuple[str, ...] = ()) -> str | None:
    path = tmp_path / "settings.py"
    path.write_text(text)
    assignments.parsed.cache_clear()
    found = assignments.statement(
        path, name, is_foreign=lambda name: name.startswith(foreign) if foreign else False, depth=depth
    )
    return found.text if found else None


@pytest.mark.parametrize(
    "line",
    [
        'SECRET_KEY = "django-insecure-1234"',
        'SECRET_KEY = os.environ.get("SECRET_KEY", "insecure")',
        'SECRET_KEY = env("SECRET_KEY", default="insecure")',
        'STRIPE_API_KEY = "AKIAIOSFODNN7EXAMPLE"',
        'DB_PASSWORD = b"hunter2"',
        'CACHES = {"default": {"LOCATION": "redis://:hunter2@cache:6379"}}',
        'MAIL = {"host": "mail", "password": "hunter2"}',
        'MAIL = dict(host="mail", password="hunter2")',
        'SENTRY_DSN = "https://abc@sentry.example/1"',
        'KEYS = ["one", "two"]',
        'CACHES = env.cache("REDIS_URL", default="redis://:hunter2@cache:6379")',
        'MAIL = {"token": env("MAIL_TOKEN", default="hunter2")}',
        'PEM = "-----BEGIN PRIVATE KEY-----"',
    ],
)
def test_a_statement_that_may_hold_a_secret_is_not_copied(tmp_path: Path, line: str) -> None:
    name = line.partition(" ")[0]

    assert taken(tmp_path, f"import os\nenv = os.environ.get\n{line}\n", name) is None


@pytest.mark.parametrize(
    "line",
    [
        'SECRET_KEY = os.environ["SECRET_KEY"]',
        'API_TOKEN = os.environ.get("API_TOKEN", "")',
        'RATES = {"token": "60/min", "login": "5/hour"}',
        'RATES = limits(token=rate("THROTTLE_TOKEN", default="60/min"))',
        'JWT = {"TOKEN_OBTAIN_SERIALIZER": "shop.serializers.Obtain"}',
        'PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]',
        'CSRF_COOKIE_NAME = "csrftoken"',
        "PASSWORD_RESET_TIMEOUT = 3600",
        'JWKS_URL = "https://id.example/keys"',
    ],
)
def test_a_statement_without_a_secret_is_copied_as_it_is_written(tmp_path: Path, line: str) -> None:
    text = f"import os\nfrom limits import limits, rate\n{line}\n"

    assert taken(tmp_path, text, line.partition(" ")[0]) == line


def test_a_statement_brings_its_comment_its_imports_and_its_helpers(tmp_path: Path) -> None:
    path = tmp_path / "settings.py"
    path.write_text(
        "from datetime import timedelta\n\ndef days(number):\n    return timedelta(days=number)\n\n"
        "# Nobody pays later than that.\n# Ask the bank.\nX = days(3)\n"
    )
    found = assignments.statement(path, "X", is_foreign=lambda name: False, depth=1)

    assert found is not None
    assert found.text == "# Nobody pays later than that.\n# Ask the bank.\nX = days(3)"
    assert found.imports == ("from datetime import timedelta",)
    assert found.helpers == ("def days(number):\n    return timedelta(days=number)",)


@pytest.mark.parametrize(
    ("text", "depth", "foreign"),
    [
        ("X = 1\nX = 2\n", 1, ()),
        ("X = [1]\nX += [2]\n", 1, ()),
        ("X = nowhere\n", 1, ()),
        ("from shop.money import X_\nX = X_\n", 1, ("shop",)),
        ('X = load("shop.money.Policy")\nload = str\n', 1, ("shop",)),
        ("from pathlib import Path\nX = Path(__file__).parent\n", 2, ()),
        ("y = [1]\ny += [2]\nX = y\n", 1, ()),
        ("X = (\n", 1, ()),
    ],
    ids=["twice", "added-to", "unknown", "foreign", "foreign-by-name", "own-place", "helper-twice", "no-python"],
)
def test_a_statement_that_would_mean_something_else_is_not_copied(
    tmp_path: Path, text: str, depth: int, foreign: tuple[str, ...]
) -> None:
    assert taken(tmp_path, text, depth=depth, foreign=foreign) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "a", None, True], '[1, "a", None, True]'),
        ({"$tuple": ["HTTP_X", "https"]}, '("HTTP_X", "https")'),
        ({"$tuple": ["one"]}, '("one",)'),
        ({"$seconds": 90.5}, "timedelta(seconds=90.5)"),
        ({"a": {"$environment": "A_B"}}, '{"a": environment.secret("A_B")}'),
        ({"$path": "x/y"}, 'str(BASE_DIR / "x/y")'),
        ('it\'s "so"\n', '"it\'s \\"so\\"\\n"'),
        ({"x": float("1e300")}, '{"x": 1e+300}'),
    ],
)
def test_values_are_written_as_python(value: object, text: str) -> None:
    assert spelling.python(value) == text
    ast.parse(text)


def test_long_values_have_a_line_for_each_item() -> None:
    value = {"a": ["x" * 60, "y" * 60], "b": {"$tuple": ["z" * 60, "z" * 60]}, "c": {"$seconds": 1}}
    written = spelling.python(value)

    assert max(map(len, written.splitlines())) < 120
    found = ast.literal_eval(written.replace("timedelta(seconds=1)", "1"))
    assert found == {"a": ["x" * 60, "y" * 60], "b": ("z" * 60, "z" * 60), "c": 1}


def test_names_of_secrets_are_the_same_here_and_in_the_chassis() -> None:
    """Neither may import the other."""
    root = Path(__file__).parents[3]
    theirs = (root / "chassis/src/chassis/inspection/secrecy.py").read_text()
    ours = Path(str(secrecy.__file__)).read_text()

    def constants(text: str) -> dict[str, str]:
        assigned = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
        return {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in assigned}

    same = {"_WORDS", "_OPEN", "_SETTLED", "_HARMLESS", "_WORD"}
    assert {name: constants(theirs)[name] for name in same} == {name: constants(ours)[name] for name in same}


def test_variables_are_those_without_which_settings_cannot_be_imported() -> None:
    code = (
        'A = environment.secret("A_KEY")\nB = environment.gateway()\nC = os.environ["C_PLACE"]\n'
        'D = {"x": environment.database(application="x")}\nE = os.environ.get("E")\n'
    )

    assert sorted(settings.variables(code)) == ["A_KEY", "C_PLACE", "DATABASE_URL", "GATEWAY_URL"]
