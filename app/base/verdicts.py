"""The parts of a verdict: reasons to refuse, in order, and notices that do not refuse."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.base.problems import Fact


@dataclass(frozen=True)
class Reason:
    """A requirement that is not met, and what the application can do next."""

    code: str
    requirement: str
    action: str
    detail: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as one flat JSON object."""
        return {"code": self.code, "requirement": self.requirement, "action": self.action, "detail": self.detail, **self.facts}


@dataclass(frozen=True)
class Notice:
    """A warning: something that will lead to a refusal later."""

    code: str
    detail: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, **self.facts}
