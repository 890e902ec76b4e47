"""The entity frame that a query on a registered source gives.

Not for who may see rows of a source, or what SQL may be: ``registry.row_queries`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import AssayError
from materialization.edges.sources import whereabouts
from materialization.finding.kinds import find_rows
from registry.row_queries import kept, query_spec, require_may_query, require_shown, told_of
from serving.historical.forms import ArrowFrame
from serving.historical.uploads import too_many_rows

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.engine import Engine
    from registry.models import Project
    from registry.spec.version_spec import VersionSpec
    from serving.historical.entity_query import EntityQuery
    from serving.limits import ReadLimits


class Asker:
    """Whoever asks, of which project, and with what their queries are run."""

    def __init__(
        self,
        actor: User | AnonymousUser,
        project: Project,
        engine: Engine,
        *,
        at: datetime,
    ) -> None:
        self.actor, self.project, self._engine, self.at = actor, project, engine, at
        #: The query that gave the frame; None: none did.
        self.spec: VersionSpec | None = None
        #: What they may have overlooked in the frame that they sent.
        self.warnings: list[str] = []

    @property
    def kept(self) -> str:
        """The query, to be kept beside its rows; empty without one."""
        return kept(self.spec) if self.spec is not None else ""

    @property
    def told(self) -> dict[str, Any]:
        """What the trail has of the query; nothing without one."""
        return {"entity_query": told_of(self.spec)} if self.spec is not None else {}

    @property
    def said(self) -> dict[str, Any] | None:
        """What was asked, the SQL too: for those who may read the rows."""
        if self.spec is None:
            return None
        return {**told_of(self.spec), "sql": self.spec.view.sql}

    def frame(self, asked: EntityQuery, limits: ReadLimits) -> ArrowFrame:
        """Return the rows of a query.

        :raises ActionNotPermitted, GrantNeeded: they may not see them.
        :raises NotFound, Invalid: the source or the SQL; says what would be valid.
        :raises TooManyRows: over ``limits``.
        :raises EngineLimitExceeded, EngineStopped, Unavailable: as ``Engine.query``.
        """
        require_may_query(self.actor, self.project)
        spec = query_spec(self.project, asked.source, asked.sql)
        require_shown(self.actor, self.project, spec, at=self.at)
        self.spec = spec
        where = whereabouts(spec, self.project)
        try:
            found = find_rows(spec, where)
            rows = self._engine.query(
                spec, found, most_rows=limits.rows + 1, most_bytes=limits.decoded_bytes
            )
        except AssayError as exc:
            exc.reword(where.told)  # which is not where a root is
            raise
        if rows.num_rows > limits.rows:
            raise too_many_rows(rows.num_rows, limits)
        return ArrowFrame(rows)
