"""Which letters went to an end user and when, as the export tells it; their words are not kept."""

from sqlalchemy import select

from app.db.export_pages import WHOSE, Section
from app.mail.models import Message

_letters = select(Message.id, Message.template, Message.locale, Message.created_at, Message.sent_at, Message.failed_at)
SECTIONS = (Section("letters", _letters.where(Message.user_id == WHOSE), Message.id),)
