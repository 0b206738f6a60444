from django.contrib.auth.hashers import PBKDF2PasswordHasher


class PinHasher(PBKDF2PasswordHasher):
    """A card's PIN is typed at a desk, which locks the card after three tries."""

    iterations = 20_000
