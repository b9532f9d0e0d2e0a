"""What a verdict is made of. A verdict is a value: reasons against, in order, and warnings beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.base.problems import Fact


@dataclass(frozen=True)
class Reason:
    """One thing that is missing, the requirement it belongs to, and what the application can do next."""

    code: str
    requirement: str
    action: str
    detail: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Flat, as it goes on the wire."""
        return {"code": self.code, "requirement": self.requirement, "action": self.action, "detail": self.detail, **self.facts}


@dataclass(frozen=True)
class Notice:
    """Something that does not stand in the way yet."""

    code: str
    detail: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, **self.facts}
