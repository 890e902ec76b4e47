# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""(Spec, columns found, window) → the DuckDB query of a view without aggregations. [pure]

Not for running it (``sandbox.compute``), nor for ticks (``aggregation``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.arrival import arrived_in
from materialization.transforms.base import base_casts, no_key_sql, require
from materialization.transforms.casts import Cast, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registry.spec.model import VersionSpec

#: Columns of the answer that say why a row is dropped; the reader takes them off.
NO_KEY, NO_TIME = "__no_key", "__no_time"


def feature_casts(spec: VersionSpec, columns: Mapping[str, str]) -> list[Cast]:
    """Return the casts of a view without aggregations, one a feature."""
    return [
        cast(
            identifier(feature.source_column),
            have=require(feature.source_column, columns),
            want=feature.value_type,
            column=feature.source_column,
        )
        for feature in spec.features
    ]


def row_query(
    spec: VersionSpec,
    columns: Mapping[str, str],
    *,
    relation: str,
    window_start: datetime | None,
    window_end: datetime,
) -> str:
    """Return the rows that became visible in ``(window_start, window_end]``.

    Input:  ``relation``, a sub-select with ``columns``.
    Output: join keys, event_timestamp, created_timestamp, features, ``__no_key``, ``__no_time``.
    A row is visible from ``greatest(event, created)`` on. Rows before ``view.start`` (by event) are
    left out. Rows without an event time belong to no window and come in each, to be counted.

    :raises UnknownColumn: a column the source does not have.
    :raises SourceValueInvalid: a column whose type cannot become the declared one.
    """
    base = base_casts(spec, columns)
    features = feature_casts(spec, columns)
    inner = ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"{base.event.strict} AS e",
            f"{base.created_sql} AS c",
            *(f"{feature.strict} AS f{i}" for i, feature in enumerate(features)),
        ]
    )
    outer = ", ".join(
        [
            *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
            f"e AS {EVENT}, c AS {CREATED}",
            *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
            f"({no_key_sql(spec)}) AS {NO_KEY}, (e IS NULL) AS {NO_TIME}",
        ]
    )
    wanted = arrived_in(spec, window_start, window_end)
    return f"SELECT {outer} FROM (SELECT {inner} FROM {relation}) WHERE e IS NULL OR ({wanted})"
