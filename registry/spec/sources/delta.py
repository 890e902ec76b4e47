"""Sources that are Delta tables. [pure]"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from registry.spec.base import Name
from registry.spec.sources.base import RootedSource


class DeltaSource(RootedSource, frozen=True, kw_only=True, tag="delta"):
    """A Delta table under one root of the project, or in a bucket; ``path`` is its folder.

    The newest version at each run, unless one is named: by its number, or as the newest of an
    instant. In a bucket ``path`` is relative to where ``connection``, one of kind s3, leads.
    """

    example = {"path": "lake/purchases"}

    connection: Name = ""
    table_version: int | None = None
    as_of: datetime | None = None

    @property
    def link(self) -> str:
        return self.connection

    @property
    def link_kind(self) -> str:
        return "s3"

    def where(self) -> str:
        at = f" version {self.table_version}" if self.table_version is not None else ""
        at = f" as of {self.as_of:%Y-%m-%d %H:%M:%S} UTC" if self.as_of is not None else at
        place = f"{self.connection}: {self.path}" if self.connection else super().where()
        return f"{place}{at}"

    def decides(self) -> dict[str, Any]:
        """Return the same as ever for a table under a root: it has no connection to say."""
        said = super().decides()
        return {name: said[name] for name in said if self.connection or name != "connection"}

    def path_within(self) -> str:
        return f"{self.path}/**"
