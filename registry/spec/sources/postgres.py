"""Sources that are tables, views or queries of a PostgreSQL database. [pure]"""

from __future__ import annotations

from registry.spec.sources.base import ConnectedSource


class PostgresSource(ConnectedSource, frozen=True, kw_only=True, tag="postgres"):
    """A table or view of a PostgreSQL database, or what one SELECT gives there."""

    example = {"connection": "warehouse"}

    #: As in ``purchases`` or ``sales.purchases``; empty: there is a query.
    table: str = ""
    query: str = ""

    @property
    def is_windowed(self) -> bool:
        return True

    def where(self) -> str:
        return f"{self.connection}: {self.table or 'a query'}"

    def path_within(self) -> str:
        if self.query:
            return "**"
        schema, _, name = self.table.rpartition(".")
        return f"{schema or '*'}/{name}"

    def as_written(self) -> str:
        return self.query or self.table
