"""Shared by the commands: load the configuration, run a use case, print results and errors."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.base.problems import Problem
from app.config.settings import EX_CONFIG, Settings, SettingsInvalid
from app.signing_keys.service import KeysMismatch, load_signer
from app.web.fields import WireModel
from app.world import World

Result = TypeVar("Result")
Model = TypeVar("Model", bound=WireModel)


def load_settings() -> Settings:
    """Load the configuration. If it is invalid, print every fault to stderr and exit with code 78."""
    try:
        return Settings.load()
    except SettingsInvalid as invalid:
        exit_misconfigured(invalid.faults)


def exit_misconfigured(faults: list[tuple[str, str]]) -> NoReturn:
    for name, sentence in faults:
        print(f"{name}: {sentence}", file=sys.stderr)
    raise SystemExit(EX_CONFIG)


def with_world(work: Callable[[World], Awaitable[Result]]) -> Result:
    """Run one use case. A problem is printed to stderr and exits with code 1; keys of another database exit with code 78."""

    async def run() -> Result:
        world = World.of(load_settings().model_copy(update={"database_statement_timeout": 0}))  # verifying a whole ledger takes long
        try:
            with suppress(SQLAlchemyError, OSError):  # the work itself reports an unreachable or empty database
                await load_signer(world)
            return await work(world)
        finally:
            await world.db.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        exit_with_error(f"{problem.code}: {problem.detail}")
    except (SQLAlchemyError, OSError) as error:
        exit_with_error(f"the database does not answer or is not migrated (run `python -m app migrate`): {type(error).__name__}")
    except KeysMismatch as error:
        exit_misconfigured(error.faults)


def exit_with_error(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def parse_arguments(model: type[Model], **arguments: Any) -> Model:
    """Validate arguments with the model of the HTTP request. Prints the faults by field and exits with code 2."""
    try:
        return model(**arguments)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_url=False):
            print(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(2) from None


def print_result(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
