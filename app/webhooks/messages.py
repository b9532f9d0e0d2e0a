"""What goes over the wire: the event as the audit list tells it, signed by the Standard Webhooks scheme (standardwebhooks.com)."""

import json

from standardwebhooks import Webhook

from app import __version__
from app.db.types import AnyRow
from app.events.payload import build_payload
from app.security.sealing import Place
from app.world import World

PREFIX = "whsec_"
COLUMNS = ("secret_sealed", "previous_secret_sealed")


def place(column: str, endpoint: AnyRow) -> Place:
    return Place("webhook_endpoints", column, endpoint.id)


def body(event: AnyRow) -> str:
    """Made anew for each try, from the row as it is then: what was erased meanwhile is not included."""
    return json.dumps(build_payload(event), ensure_ascii=False, separators=(",", ":"))


def headers(world: World, endpoint: AnyRow, event: AnyRow, text: str) -> dict[str, str]:
    """`webhook-id` is the event's, at each try and replay, so that a receiver knows what it has. Signed with the secret, and with the
    one before it until that runs out."""
    now = world.clock.now()
    sealed = [
        endpoint.secret_sealed,
        endpoint.previous_secret_sealed if endpoint.previous_until and endpoint.previous_until > now else None,
    ]
    opened = [world.keys.sealer.open(box, place(name, endpoint)).decode() for name, box in zip(COLUMNS, sealed, strict=True) if box]
    return {
        "content-type": "application/json",
        "user-agent": f"Licentia-Webhooks/{__version__}",
        "webhook-id": str(event.id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(str(event.id), now, text) for secret in opened),
    }
