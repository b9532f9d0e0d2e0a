"""The keys of this run, drawn anew by each process: what stands in a repository is nobody's secret."""

from base64 import b64encode

from app.base.entropy import Entropy
from app.config.keys import KEY_OCTETS


def key() -> str:
    """As `openssl rand -base64 32` prints one."""
    return b64encode(Entropy().octets(KEY_OCTETS)).decode()


SECRETS = {"LICENTIA_ENCRYPTION_KEYS": f"t1:{key()}", "LICENTIA_LOOKUP_KEY": key()}


def production() -> dict[str, str]:
    """What is enough for production to start, on SQLite."""
    return {**SECRETS, "LICENTIA_ENV": "production", "LICENTIA_PUBLIC_URL": "https://id.example"}
