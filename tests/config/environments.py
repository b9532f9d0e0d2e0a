"""Environments of a process, and the faults that the settings find in them."""

import pytest

from app.config.settings import Settings, SettingsInvalid
from tests.random_keys import production_environment

GOOD = production_environment()


def find_faults(environ: dict[str, str]) -> dict[str, str]:
    """Return the fault of each setting, by its name. Settings must refuse the environment."""
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load(environ)
    return dict(caught.value.faults)
