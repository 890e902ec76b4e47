"""What the steps of one registration share and give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.choices import Kind
    from registry.looking import Looking
    from registry.models import FeatureViewVersion, Project
    from registry.reading.parsing import Definition, Problem


@dataclass
class Applied:
    """What one definition changed (or would); ``version`` is the number it has or would get."""

    kind: Kind
    name: str
    change: str
    classification: str | None = None
    version: str | None = None
    state: str | None = None
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    draft: FeatureViewVersion | None = None
    #: False: it is registered as it was sent, and its source was not looked at.
    looked_at: bool = True


@dataclass
class Application:
    """The circumstances every step of one request shares."""

    project: Project
    actor: User
    editor_ids: frozenset[int]
    at: datetime
    look: Looking
    problems: list[Problem] = field(default_factory=list)
    #: The data sources the request defines, by name.
    sources: dict[str, Definition] = field(default_factory=dict)
    #: The views the request defines that cannot be stored; what refers to them is not at fault.
    refused_views: set[str] = field(default_factory=set)

    def refuse(self, problem: Problem) -> None:
        """Note a problem; two views find the same one in the source they share."""
        if problem not in self.problems:
            self.problems.append(problem)
