from __future__ import annotations

import pytest
from chassis.identity import keys, tokens
from conftest import pem
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from django.core.exceptions import ImproperlyConfigured


def public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_missing_key_file_says_which_setting_to_mend(settings, tmp_path):
    settings.TOKEN_KEY_FILE = str(tmp_path / "absent.pem")

    with pytest.raises(ImproperlyConfigured, match=r"TOKEN_KEY_FILE: .*absent.pem cannot be read"):
        tokens.jwks()


def test_a_file_without_a_key_is_refused(tmp_path):
    (tmp_path / "empty.pem").write_text("nothing here")

    with pytest.raises(ImproperlyConfigured, match=r"SIGN: .* no private key"):
        keys.keyring(str(tmp_path / "empty.pem"), setting="SIGN")
    with pytest.raises(ImproperlyConfigured, match=r"TRUST: .* no key"):
        keys.trusted((str(tmp_path / "empty.pem"),), setting="TRUST")


def test_a_key_of_another_kind_is_refused(tmp_path):
    (tmp_path / "rsa.pem").write_bytes(pem(generate_private_key(public_exponent=65537, key_size=2048)))

    with pytest.raises(ImproperlyConfigured, match="not Ed25519"):
        keys.keyring(str(tmp_path / "rsa.pem"), setting="SIGN")


def test_a_key_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "damaged.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n")

    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        keys.keyring(str(path), setting="SIGN")


def test_public_halves_verify_and_do_not_sign(tmp_path):
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "public.pem"
    path.write_bytes(public_pem(key))

    assert set(keys.trusted((str(path),), setting="TRUST")) == {keys.thumbprint(key.public_key())}
    with pytest.raises(ImproperlyConfigured, match="no private key"):
        keys.keyring(str(path), setting="SIGN")


def test_public_halves_beside_a_key_verify_and_are_published(settings, tmp_path):
    """The next key before it signs, or the last one after its private half is gone."""
    old, own, young = (Ed25519PrivateKey.generate() for _ in range(3))
    path = tmp_path / "keys.pem"
    path.write_bytes(public_pem(old) + pem(own) + public_pem(young))
    settings.TOKEN_KEY_FILE = str(path)

    ring = keys.keyring(str(path), setting="SIGN")

    names = [keys.thumbprint(key.public_key()) for key in (old, own, young)]
    assert (ring.signer, list(ring.keys), list(ring.public)) == (names[1], [names[1]], names)
    assert [key["kid"] for key in tokens.jwks()["keys"]] == names


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "watched.txt"
    path.write_text("one")
    return path


def reading(path, clock: Clock) -> keys.Files[str]:
    def read() -> str:
        if not path.exists():
            raise ImproperlyConfigured(f"{path} cannot be read")
        return path.read_text()

    return keys.Files((str(path),), read, clock)


def test_a_file_that_has_changed_is_read_again_after_a_second(file):
    clock = Clock()
    files = reading(file, clock)
    file.write_text("another")
    assert files.now() == "one"

    clock.now += keys.LOOK_SECONDS

    assert files.now() == "another"


def test_a_file_that_is_away_or_broken_leaves_what_was_read_until_it_is_back(file, caplog):
    clock = Clock()
    files = reading(file, clock)
    file.unlink()
    for _ in range(3):
        clock.now += keys.LOOK_SECONDS
        assert files.now() == "one"
    assert caplog.messages == ["keys_unreadable"]

    file.write_text("two")
    clock.now += keys.LOOK_SECONDS

    assert files.now() == "two"


def test_a_file_that_is_replaced_by_one_of_the_same_size_is_read_again(file, tmp_path):
    clock = Clock()
    files = reading(file, clock)
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").rename(file)

    clock.now += keys.LOOK_SECONDS

    assert files.now() == "two"


def test_all_keys_of_all_files_are_trusted(tmp_path):
    first, second, third = (Ed25519PrivateKey.generate() for _ in range(3))
    (tmp_path / "one.pem").write_bytes(public_pem(first) + pem(second))
    (tmp_path / "two.pem").write_bytes(public_pem(third))

    trusted = keys.trusted((str(tmp_path / "one.pem"), str(tmp_path / "two.pem")), setting="TRUST")

    assert list(trusted) == [keys.thumbprint(key.public_key()) for key in (first, second, third)]


def test_a_web_key_comes_back_as_the_key_it_was():
    key = Ed25519PrivateKey.generate().public_key()

    assert keys.from_web_key(keys.web_key(key)) == key


@pytest.mark.parametrize(
    "change", [{"kty": "RSA"}, {"crv": "X25519"}, {"use": "enc"}, {"alg": "HS256"}, {"alg": "none"}]
)
def test_a_web_key_of_another_kind_is_not_taken(change):
    member = keys.web_key(Ed25519PrivateKey.generate().public_key())

    assert keys.from_web_key(member | change) is None


@pytest.mark.parametrize("text", ["", "AAAA", "not base 64 €"])
def test_a_malformed_web_key_is_an_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        keys.from_web_key({"kty": "OKP", "crv": "Ed25519", "x": text})


def test_a_key_in_place_of_its_file_s_name_is_not_repeated():
    with pytest.raises(ImproperlyConfigured, match="no name of a file") as caught:
        keys.keyring("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----", setting="TOKEN_KEY_FILE")

    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__
