"""The profile, as the export tells it."""

from sqlalchemy import select

from app.db.export_pages import WHOSE
from app.users.models import User

PROFILE = select(
    User.id,
    User.email,
    User.email_verified_at,
    User.display_name,
    User.locale,
    User.region,
    User.timezone,
    User.age_band,
    User.preferences,
    User.external_id,
    User.metadata_.label("metadata"),
    User.status,
    User.created_at,
    User.last_login_at,
).where(User.id == WHOSE)
