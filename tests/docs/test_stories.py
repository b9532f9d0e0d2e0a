"""The curl stories run as printed, and print what the documents say; the table of settings is true."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.settings import Settings
from tests.docs import variables
from tests.docs.replay import STORIES, compare, read_story, replay
from tests.servers import Running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A served demo, as `make run` starts it: its address, and its folder."""
    home = tmp_path_factory.mktemp("stories")
    with Running(home, "--migrate", "--demo") as running:
        yield running.base, home


@pytest.mark.parametrize("page", STORIES)
def test_a_story_runs_as_printed(server: tuple[str, Path], page: str) -> None:
    """The files of a story are in a temporary folder, not in the checkout."""
    base, home = server
    before = set(home.iterdir())
    done = replay(page, base, home)
    assert done.returncode == 0, done.stderr + done.stdout
    assert compare(page, done) == []
    assert set(home.iterdir()) - before <= {home / ".venv", home / "app", home / "curl"}


@pytest.mark.parametrize("page", STORIES)
def test_the_curl_replacement_supports_every_option(page: str) -> None:
    calls = re.findall(r"curl (.*?)(?:\||>|$)", read_story(page)[0], re.DOTALL)
    assert set(re.findall(r"(?<= )-[A-Za-z]+(?= )", " ".join(calls))) <= {"-sS", "-H", "-X", "-d"}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_variable_is_described(name: str) -> None:
    assert Settings.model_fields[name].description, f"{name} has no line below it in app/config/variables.py"
    assert f"| `{name.upper()}` |" in variables.table()


def test_the_defaults_in_the_table_are_true(tmp_path: Path) -> None:
    """Setting every variable to its default from the table changes nothing."""
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| `([^`]+)` \|", variables.table(), re.MULTILINE)
    home = {"LICENTIA_VAR": str(tmp_path)}
    plain = Settings.load(home)
    values = Settings.load({f"LICENTIA_{name}": value for name, value in rows} | home)
    assert len(rows) > len(Settings.model_fields) / 2
    assert values.model_dump() == plain.model_dump()


def test_the_limits_in_the_table_are_correct(tmp_path: Path) -> None:
    """The most that the table allows is taken, and what a word is not is refused: spot checks of how the columns are made."""
    values = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| [^|]+ \| ([^|]*) \|", variables.table(), re.MULTILINE))
    assert values["ENV"] == "`development` `production`"
    assert values["ACCESS_LIFETIME"] == "more than 0 to `PT15M`"
    assert values["CONTEXT_RETENTION"] == "`P1D` to `P36525D`"
