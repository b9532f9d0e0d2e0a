"""The licenses that an end user is on and the seats that are or were theirs, as the export tells it: no key and no token."""

from sqlalchemy import select

from app.catalog.models import Policy, Product
from app.db.export_pages import WHOSE, Section
from app.licenses.models import Activation, License, LicenseUser

_licenses = (
    select(
        LicenseUser.license_id,
        LicenseUser.added_at,
        Product.code.label("product"),
        License.key_last4,
        License.starts_at,
        License.expires_at,
        License.suspended_at,
        License.revoked_at,
    )
    .join(License, License.id == LicenseUser.license_id)
    .join(Policy, Policy.id == License.policy_id)
    .join(Product, Product.id == Policy.product_id)
)
_activations = select(
    Activation.id,
    Activation.license_id,
    Activation.fingerprint,
    Activation.name,
    Activation.platform,
    Activation.app_version,
    Activation.activated_at,
    Activation.last_seen_at,
    Activation.lease_expires_at,
    Activation.released_at,
    Activation.release_reason,
)
SECTIONS = (
    Section("licenses", _licenses.where(LicenseUser.user_id == WHOSE), LicenseUser.license_id),
    Section("activations", _activations.where(Activation.user_id == WHOSE), Activation.id),
)
