"""Offline files: what the license allows this device, signed, for where there is no network. Asymmetric only (licensing R45).

The file's `typ` keeps it from passing for anything else (licensing R44); its `exp` is its own end and the license's, whichever comes first
(licensing R46), and never later than the lease of the seat: what is free on the server may not be in use elsewhere.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any

from app.base.durations import Duration, instant_text
from app.catalog.models import SeatBy
from app.events.service import Actor, record
from app.licenses import credentials, guess_limits, rules
from app.licenses.credentials import LicenseCredential
from app.licenses.problems import refusal
from app.licenses.rules import LicenseFacts, UseRequest
from app.licenses.seats import service as seats
from app.signing_keys.service import load_signer
from app.web.callers import Subject
from app.world import World

TYPE = "offline-license+jwt"
USUAL_TTL = "P30D"


async def issue(
    world: World,
    ip: str | None,
    subject: Subject | None,
    credential: LicenseCredential,
    fingerprint: str | None,
    ttl: str | None,
    nonce: str | None,
) -> str:
    """A compact JWS bound to the device. Raises whatever stands against the license or the seat, by its own code."""
    sign = await load_signer(world)
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key), world.db.write() as tx:
        it, now = await credentials.lock_by_credential(tx, world, credential, subject, fingerprint)
        for reason in rules.judge(it, UseRequest(fingerprint, (), subject is not None), now).reasons:
            raise refusal(reason)
        if it.seat is not None and it.lease is not None:
            it = (await seats.refreshed(tx, world, it, it.seat)).standing
        device = it.seat.fingerprint if it.seat is not None and it.seat_by != SeatBy.USER else fingerprint
        file = _file(world, it, subject, device, ttl, nonce, now)
        actor = subject.actor if subject else (credential.seat.actor if credential.seat else Actor("anonymous"))
        told = {"file": file["jti"], "until": instant_text(_end(it, ttl, now))}
        await record(tx, world, "offline_file.issued", actor, ("license", it.license_id), subject.id if subject else None, **told)
        return sign.sign(TYPE, file)


def _end(it: LicenseFacts, ttl: str | None, now: datetime) -> datetime:
    """`min(ttl, expiry + grace)`, and no later than the policy's longest and the seat's lease: what is signed is never called back."""
    longest = Duration.parse(it.offline_ttl or USUAL_TTL).after(now)
    asked = Duration.parse(ttl).after(now) if ttl else longest
    lease = it.seat.lease_expires_at if it.seat is not None else None
    return min(moment for moment in (asked, longest, it.grace_until or it.expires_at, lease) if moment is not None)


def _file(
    world: World, it: LicenseFacts, subject: Subject | None, device: str | None, ttl: str | None, nonce: str | None, now: datetime
) -> dict[str, Any]:
    again = rules.check_again_at(it, now)
    claims_ = {
        "iss": world.settings.public_url,
        "aud": it.product,
        "sub": str(subject.id) if subject is not None else None,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int(_end(it, ttl, now).timestamp()),
        "lic": str(it.license_id),
        "act": str(it.seat.id) if it.seat is not None else None,
        "dev": sha256(device.encode()).hexdigest() if device else None,
        "license": {
            "key_last4": it.key_last4,
            "status": it.status(now),
            "starts_at": instant_text(it.starts_at) if it.starts_at else None,
            "expires_at": instant_text(it.expires_at) if it.expires_at else None,
            "grace_until": instant_text(it.grace_until) if it.grace_until else None,
        },
        "features": dict(it.features),
        "issued_at": instant_text(now),
        "check_again_at": instant_text(again) if again else None,
        "nonce": nonce,
    }
    return {name: value for name, value in claims_.items() if value is not None}
