"""Structured logs: JSON lines or text on stdout, with the request id, and with secrets masked at any depth."""

import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from json.encoder import encode_basestring
from typing import Any

import structlog

from app.base.clock import Clock
from app.base.durations import instant_text
from app.config.settings import Settings

MASK = "[masked]"
current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the current request; None outside requests."""
_VERBOSE_LIBRARIES = ("alembic", "httpx", "httpcore", "aiosqlite", "asyncpg", "passlib")
"""Libraries that only log warnings: at `debug` they log addresses, headers, and statements with their parameters."""
_SECRET_NAMES = re.compile(
    r"password|secret|token|authorization|license_key|activation_code|otpauth|credential|^code$|recovery|^key$|^totp$|qr_svg|device_code|user_code|uri_complete"
)
_SECRET_TEXTS = re.compile(
    r"\b(?:op|act|lgn|rt|vfy|rst|dvc)_[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
    r"|\bwhsec_[A-Za-z0-9+/_-]{20,}={0,2}"
    r"|(?<![\w-])(?:[A-Za-z0-9]{2,16}-)?[0-9A-Za-z]{5}(?:-[0-9A-Za-z]{5}){4}(?![\w-])"
    r"|(?<![\w-])[0-9A-Za-z]{4}(?:-[0-9A-Za-z]{4}){2}(?:(?:-[0-9A-Za-z]{4}){2})?(?![\w-])|\$argon2id\$\S+|otpauth://\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)


def mask(value: object) -> Any:
    """Replace everything in the value that looks like a secret, at any depth."""
    if isinstance(value, str):
        return _SECRET_TEXTS.sub(MASK, value)
    if isinstance(value, Mapping):
        return {str(k): MASK if _SECRET_NAMES.search(str(k).lower()) else mask(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(value.decode(errors="replace") if isinstance(value, bytes) else repr(value))


def _mask_event(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {
        name: MASK if _SECRET_NAMES.search(name.lower()) else value if name.startswith("_") else mask(value)
        for name, value in event.items()
    }


def _add_request_id(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if (current := current_request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


def make_access_logger(settings: Settings) -> Callable[[dict[str, Any]], None]:
    """Return the function that logs each request. It writes the same format as structlog, but faster, for the hot path."""
    if settings.log_level not in {"debug", "info"}:
        return lambda _fields: None

    clock = Clock()
    as_json = settings.log_format == "json"

    def write(fields: dict[str, Any]) -> None:
        line = {"event": "request", "level": "info", "logger": "licentia.access", "timestamp": instant_text(clock.now()), **fields}
        text = _format_flat_json(line) if as_json else " ".join(f"{k}={v}" for k, v in line.items())
        sys.stdout.write(text + "\n")

    return write


def _format_flat_json(fields: Mapping[str, str | float | None]) -> str:
    """Format a flat object like `json.dumps`, which would build an encoder for each call."""
    values = (encode_basestring(value) if isinstance(value, str) else "null" if value is None else str(value) for value in fields.values())
    return "{" + ", ".join(f'"{name}": {value}' for name, value in zip(fields, values, strict=True)) + "}"


class _Stdout(logging.Handler):
    """Writes to the current `sys.stdout`, which tests replace."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")


def _drop_color_message(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.pop("color_message", None)  # uvicorn's message again, with terminal codes
    return event


def configure_logging(settings: Settings) -> None:
    """Format the lines of structlog and of the standard library's loggers alike, and write them to stdout."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
        _mask_event,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Stdout()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _drop_color_message, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel("WARNING")
