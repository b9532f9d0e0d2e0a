"""The README's curl session runs as printed, and prints what the README says; its table of variables is the program's."""

import re
from pathlib import Path

import pytest

from app.config.settings import Settings
from tests import variables
from tests.readme.replay import README, compare, replay, session
from tests.servers import Running


def test_the_curl_session_runs_as_printed(tmp_path: Path) -> None:
    with Running(tmp_path, "--migrate", "--demo") as server:
        done = replay(server.base, tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert compare(done) == []


def test_the_curl_replacement_supports_every_option_of_the_readme() -> None:
    used = set(re.findall(r"(?<= )-[A-Za-z]+(?= )", " ".join(re.findall(r"curl (.*?)(?:\||>|$)", session()[0], re.DOTALL))))
    assert used <= {"-sS", "-H", "-X", "-d"}


def test_the_table_of_variables_matches_the_settings() -> None:
    """`make openapi` writes it anew."""
    assert variables.current() == variables.table()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_variable_is_described(name: str) -> None:
    assert Settings.model_fields[name].description, f"{name} has no line below it in app/config/variables.py"
    assert f"| `{name.upper()}` |" in README.read_text(encoding="utf-8")


def test_the_defaults_in_the_table_are_true(tmp_path: Path) -> None:
    """Whoever sets every variable to what the table says has what they had before."""
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| `([^`]+)` \|", variables.current(), re.MULTILINE)
    home = {"LICENTIA_VAR": str(tmp_path)}
    plain = Settings.load(home)
    told = Settings.load({f"LICENTIA_{name}": value for name, value in rows} | home)
    assert len(rows) > len(Settings.model_fields) / 2
    assert told.model_dump() == plain.model_dump()


def test_the_limits_in_the_table_are_correct(tmp_path: Path) -> None:
    """The most that the table allows is taken, and what a word is not is refused: spot checks of how the columns are made."""
    told = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| [^|]+ \| ([^|]*) \|", variables.current(), re.MULTILINE))
    assert told["ENV"] == "`development` `production`"
    assert told["ACCESS_LIFETIME"] == "more than 0 to `PT15M`"
    assert told["CONTEXT_RETENTION"] == "`P1D` to `P36525D`"
