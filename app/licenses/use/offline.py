"""Issue offline files: the license's signed rights on a device, verifiable without a network (licensing R45).

The header's `typ` separates it from other tokens (licensing R44). `exp` is the earliest of the requested lifetime, the license's end
(licensing R46) and the seat's lease: a seat that is free on the server must not be in use elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from app.base.durations import Duration, instant_text
from app.catalog.models import SeatBy
from app.events.service import Actor, record
from app.licenses import credentials, guess_limits, rules
from app.licenses.credentials import LicenseCredential
from app.licenses.problems import build_refusal
from app.licenses.rules import LicenseFacts, UseRequest
from app.licenses.seats.leases import renew_seat
from app.signing_keys.service import load_signer
from app.web.callers import Subject
from app.world import World

TYPE = "offline-license+jwt"
DEFAULT_TTL = "P30D"


@dataclass(frozen=True)
class OfflineRequest:
    """The optional content of a file, as requested by the client. `ttl`: the lifetime, an ISO 8601 duration."""

    fingerprint: str | None
    ttl: str | None
    nonce: str | None


async def issue_file(world: World, ip: str | None, subject: Subject | None, credential: LicenseCredential, request: OfflineRequest) -> str:
    """Issue a compact JWS bound to the device. Raises the problem of the first reason against the license or the seat."""
    signer = await load_signer(world)
    async with guess_limits.counting_wrong_guesses(world, ip, credential.key), world.db.write() as tx:
        license, now = await credentials.lock_by_credential(tx, world, credential, subject, request.fingerprint)
        for reason in rules.evaluate(license, UseRequest(request.fingerprint, (), subject is not None), now).reasons:
            raise build_refusal(reason)
        if license.seat is not None and license.lease is not None:
            license = (await renew_seat(tx, world, license, license.seat)).license
        content = _build_content(world, license, subject, request, now)
        actor = subject.actor if subject else (credential.seat.actor if credential.seat else Actor("anonymous"))
        data = {"file": content["jti"], "until": instant_text(_compute_end(license, request.ttl, now))}
        user_id = subject.id if subject else None
        await record(tx, world, "offline_file.issued", actor, ("license", license.license_id), user_id, **data)
        return signer.sign(TYPE, content)


def _compute_end(license: LicenseFacts, ttl: str | None, now: datetime) -> datetime:
    """Return the earliest of the requested end, the policy's longest lifetime, the license's end and the lease: files cannot be revoked."""
    longest = Duration.parse(license.offline_ttl or DEFAULT_TTL).after(now)
    requested = Duration.parse(ttl).after(now) if ttl else longest
    lease = license.seat.lease_expires_at if license.seat is not None else None
    ends = (requested, longest, license.grace_until or license.expires_at, lease)
    return min(end for end in ends if end is not None)


def _find_fingerprint(license: LicenseFacts, request: OfflineRequest) -> str | None:
    return license.seat.fingerprint if license.seat is not None and license.seat_by != SeatBy.USER else request.fingerprint


def _build_content(world: World, license: LicenseFacts, subject: Subject | None, request: OfflineRequest, now: datetime) -> dict[str, Any]:
    check_again_at = rules.find_next_change(license, now)
    fingerprint = _find_fingerprint(license, request)
    claims = {
        "iss": world.settings.public_url,
        "aud": license.product,
        "sub": str(subject.id) if subject is not None else None,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int(_compute_end(license, request.ttl, now).timestamp()),
        "lic": str(license.license_id),
        "act": str(license.seat.id) if license.seat is not None else None,
        "dev": sha256(fingerprint.encode()).hexdigest() if fingerprint else None,
        "license": {
            "key_last4": license.key_last4,
            "status": license.status(now),
            "starts_at": instant_text(license.starts_at) if license.starts_at else None,
            "expires_at": instant_text(license.expires_at) if license.expires_at else None,
            "grace_until": instant_text(license.grace_until) if license.grace_until else None,
        },
        "features": dict(license.features),
        "issued_at": instant_text(now),
        "check_again_at": instant_text(check_again_at) if check_again_at else None,
        "nonce": request.nonce,
    }
    return {name: value for name, value in claims.items() if value is not None}
