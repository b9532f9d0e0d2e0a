"""Fixture: logs at the level `debug`."""

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from app.config.settings import Settings
from app.observability import logs


@pytest.fixture
def debug_logs(request: pytest.FixtureRequest, shared_app: FastAPI, settings: Settings) -> Iterator[None]:
    """Log everything of every library at `debug`, with statements and rows, through the program's own log pipeline."""
    form = getattr(request, "param", "json")
    logs.configure_logging(settings.model_copy(update={"log_level": "debug", "log_format": form}))
    levels = {"sqlalchemy.engine": "DEBUG", "httpx": "WARNING"}  # httpx is the client of the tests, and logs its URLs
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    yield
    for name in levels:
        logging.getLogger(name).setLevel("NOTSET")
    logs.configure_logging(settings)
