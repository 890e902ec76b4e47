"""What every transform begins with: its keys and its two times. [pure]

Not for features: each transform makes its own. Columns of the source are given as DESCRIBE tells
them: name → DuckDB type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import identifier
from materialization.errors import UnknownColumn
from materialization.transforms.casts import Cast, cast, cast_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.spec.sources.base import TimeColumn
    from registry.spec.version_spec import VersionSpec


class Base(NamedTuple):
    """The casts every view begins with."""

    keys: list[Cast]
    event: Cast
    created: Cast | None

    @property
    def created_sql(self) -> str:
        """When the row was known; absent or null counts as the event time."""
        if self.created is None:
            return self.event.strict
        return f"coalesce({self.created.strict}, {self.event.strict})"


def require(column: str, columns: Mapping[str, str]) -> str:
    """Return the type of ``column``.

    :raises UnknownColumn: naming it and the nearest that is there.
    """
    if column not in columns:
        raise UnknownColumn(column, columns)
    return columns[column]


def key_casts(spec: VersionSpec, columns: Mapping[str, str]) -> list[Cast]:
    return [
        cast(
            identifier(key.name),
            have=require(key.name, columns),
            want=key.value_type,
            column=key.name,
        )
        for key in spec.join_keys
    ]


def time_cast(time: TimeColumn, columns: Mapping[str, str]) -> Cast:
    have = require(time.column, columns)
    return cast_instant(identifier(time.column), have=have, unit=time.unit, column=time.column)


def base_casts(spec: VersionSpec, columns: Mapping[str, str]) -> Base:
    created = spec.rows_from.created_timestamp
    return Base(
        keys=key_casts(spec, columns),
        event=time_cast(spec.rows_from.event_timestamp, columns),
        created=time_cast(created, columns) if created else None,
    )


def no_key_sql(spec: VersionSpec) -> str:
    return " OR ".join(f"k{i} IS NULL" for i, _ in enumerate(spec.join_keys))
