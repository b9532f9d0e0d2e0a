"""Hearing what the program says, at its most talkative."""

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from app.config.settings import Settings
from app.observability import logs


@pytest.fixture
def talkative(request: pytest.FixtureRequest, shared_app: FastAPI, settings: Settings) -> Iterator[None]:
    """Every logger of every library at `debug`, statements and rows among it, through the program's own pipe."""
    form = getattr(request, "param", "json")
    logs.configure_logging(settings.model_copy(update={"log_level": "debug", "log_format": form}))
    levels = {"sqlalchemy.engine": "DEBUG", "httpx": "WARNING"}  # the last is the tests' own client, which tells where it goes
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    yield
    for name in levels:
        logging.getLogger(name).setLevel("NOTSET")
    logs.configure_logging(settings)
