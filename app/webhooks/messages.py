"""Builds webhook requests: the event as in the audit list, signed by the Standard Webhooks scheme (standardwebhooks.com)."""

import json

from standardwebhooks import Webhook

from app import __version__
from app.db.types import AnyRow
from app.events.payload import build_payload
from app.security.sealing import Place
from app.world import World

PREFIX = "whsec_"
COLUMNS = ("secret_sealed", "previous_secret_sealed")


def secret_place(column: str, endpoint: AnyRow) -> Place:
    """Return the place that a sealed secret of the endpoint is bound to."""
    return Place("webhook_endpoints", column, endpoint.id)


def build_body(event: AnyRow) -> str:
    """Build the body for one try, from the event as it is now, so that data erased since the last try is not sent."""
    return json.dumps(build_payload(event), ensure_ascii=False, separators=(",", ":"))


def build_headers(world: World, endpoint: AnyRow, event: AnyRow, body: str) -> dict[str, str]:
    """Build the headers, with a signature by the secret, and by the previous secret while it is valid.

    `webhook-id` is the event's id at each try and replay, so that receivers can detect duplicates.
    """
    now = world.clock.now()
    sealed = [
        endpoint.secret_sealed,
        endpoint.previous_secret_sealed if endpoint.previous_until and endpoint.previous_until > now else None,
    ]
    columns = [(column, value) for column, value in zip(COLUMNS, sealed, strict=True) if value]
    secrets = [world.keys.sealer.open(value, secret_place(column, endpoint)).decode() for column, value in columns]
    return {
        "content-type": "application/json",
        "user-agent": f"Licentia-Webhooks/{__version__}",
        "webhook-id": str(event.id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(str(event.id), now, body) for secret in secrets),
    }
