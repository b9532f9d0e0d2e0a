"""The reference pages are what the code says."""

from tests.docs import reference
from tests.snapshots import application


def test_the_reference_pages_are_current() -> None:
    """`make openapi` renews them."""
    assert reference.drift(application()) == ""


def test_the_pages_are_not_empty() -> None:
    """Each table has the rows that a reader would look for first."""
    text = {path.name: body for path, body in reference.render(application()).items()}
    assert "| `ENCRYPTION_KEYS` |" in text["settings.md"]
    assert "`seat_limit_reached` | 409 |" in text["codes.md"]
    assert "| `license.issued` |" in text["events.md"]
    assert "`POST /v1/licenses`" in text["scopes.md"]
    assert "| `licentia_decisions_total` |" in text["metrics.md"]
