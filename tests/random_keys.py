"""Random keys for this test run. Each process generates its own: a key in a repository is not a secret."""

from base64 import b64encode

from app.base.entropy import Entropy
from app.config.keys import KEY_BYTES


def random_key() -> str:
    """Return a key in the format of `openssl rand -base64 32`."""
    return b64encode(Entropy().random_bytes(KEY_BYTES)).decode()


SECRETS = {"LICENTIA_ENCRYPTION_KEYS": f"t1:{random_key()}", "LICENTIA_LOOKUP_KEY": random_key()}


def production_environment() -> dict[str, str]:
    """Return the variables that production requires, on SQLite."""
    return {**SECRETS, "LICENTIA_ENV": "production", "LICENTIA_PUBLIC_URL": "https://id.example"}
