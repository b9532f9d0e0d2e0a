"""Every room's tables in one place, for migrations and for what is asked of all of them."""

import app.agreements.models
import app.api_keys.models
import app.catalog.models
import app.db.schema
import app.events.models
import app.licenses.models
import app.login.ceremonies
import app.login.device_codes
import app.login.models
import app.login.one_time
import app.mail.models
import app.signing_keys.models
import app.users.models
import app.web.models
import app.webhooks.models  # noqa: F401  imported for their tables
from app.db.base import Base

METADATA = Base.metadata
