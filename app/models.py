"""The tables of all packages in one place, for migrations and for code that handles every table."""

import app.agreements.models
import app.api_keys.models
import app.catalog.models
import app.db.revision
import app.events.models
import app.licenses.models
import app.login.device_grant.models
import app.login.factors.passkey_challenges
import app.login.mailed_tokens
import app.login.models
import app.mail.models
import app.signing_keys.models
import app.users.models
import app.web.models
import app.webhooks.models  # noqa: F401  imported for their tables
from app.db.base import Base

METADATA = Base.metadata
