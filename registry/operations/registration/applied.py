"""What the steps of one registration share and give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry import access
from registry.choices import Right
from registry.grants import Grants
from registry.reading.findings import MAX_HINTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.choices import Kind
    from registry.looking import Looking
    from registry.models import FeatureViewVersion, Project
    from registry.operations.registration.consequences import Consequences
    from registry.operations.registration.standing import Standing
    from registry.operations.registration.storing import Change
    from registry.reading.parsing import Definition, Problem
    from registry.spec.version_spec import VersionSpec
    from registry.spec.versions import Version


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
    #: What the draft reads and nobody approved yet, as ``view@1.0.0``: it is not submitted before.
    waits_for: tuple[str, ...] = ()
    #: The number a submission of the draft would have, where that is asked for.
    submitted: Version | None = None
    #: The fingerprint of what was sent, without what it embeds.
    said: str = ""
    #: Where it was sent; None: nobody sent it, it follows what was.
    definition: Definition | None = None
    #: What was sent that it embeds, where it was not sent itself.
    because_of: list[str] = field(default_factory=list)
    #: What it changes and for whom, where that is asked for.
    consequences: Consequences | None = None


@dataclass
class Application:
    """The circumstances every step of one request shares."""

    project: Project
    actor: User
    editor_ids: frozenset[int]
    at: datetime
    look: Looking
    standing: Standing
    #: Whether the actor may change every view of the project, by a right on the project itself.
    may_change_all: bool = False
    #: Whether nothing may be stored that counts at once, or that others wrote.
    drafts_only: bool = False
    #: Whether to tell the consequences of each change.
    detailed: bool = False
    #: What is to be stored, in order.
    changes: list[Change] = field(default_factory=list)
    #: What is said of each definition, and of the views that follow.
    applied: list[Applied] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: The data sources the request defines, by name.
    sources: dict[str, Definition] = field(default_factory=dict)
    #: The views the request defines that cannot be stored; what refers to them is not at fault.
    refused_views: set[str] = field(default_factory=set)
    hints: int = 0
    _told: set[Problem] = field(default_factory=set)

    @cached_property
    def may_read_values(self) -> bool:
        """Whether the actor is shown values of the project's sources."""
        return access.can(self.actor, Right.READ_OFFLINE, self.project)

    def shows(self, spec: VersionSpec) -> bool:
        """Return whether the actor is shown values a view reads: what is sensitive by grant."""
        return Grants(self.actor, at=self.at).shows(self.project, spec)

    def refuse(self, problem: Problem) -> None:
        """Note a problem; two views find the same one in the source they share."""
        if problem.example and not self.may_read_values:
            problem = problem._replace(example="")
        if problem not in self._told:
            self._told.add(problem)
            self.problems.append(problem)

    def hint(self, value: str, known: Iterable[str]) -> str:
        """Name the nearest, for the first few wrong names of a request: each asks them all."""
        self.hints += 1
        return did_you_mean(value, known) if self.hints <= MAX_HINTS else ""
