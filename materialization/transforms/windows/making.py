# ruff: noqa: S608 - names go through identifier(), the rest are expressions that were checked
"""Pushed rows as the events that are kept of them, as SQL: where conditions say what counts. [pure]

Not for rows that all count, which Arrow makes (``arguments``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier
from materialization.stores.columns import CREATED, EVENT, EVENT_ID
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.events import COUNT, kept_columns
from materialization.transforms.base import base_casts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.spec.version_spec import VersionSpec


def events_made_sql(
    spec: VersionSpec, columns: Mapping[str, str], *, relation: str, place: str
) -> str:
    """Return events under the names of their table, the ``place`` of each row behind them.

    ``relation`` has the truths of the conditions beside ``columns``. Created is null where the
    source does not say it.
    """
    every, base = read_aggregates(spec, columns), base_casts(spec, columns)
    created = base.created.strict if base.created is not None else "NULL::TIMESTAMPTZ"
    keys = zip(base.keys, spec.join_keys, strict=True)
    inner = [
        *(f"{cast.strict} AS {identifier(key.name)}" for cast, key in keys),
        f"{base.event.strict} AS {EVENT}, {created} AS {CREATED}",
        *(f"{each.sql} AS a{number}" for number, each in enumerate(every.arguments)),
        identifier(place),
    ]
    if spec.event_id is not None:
        inner.append(f"{identifier(spec.event_id)} AS {EVENT_ID}")
    named = [
        *(identifier(key.name) for key in spec.join_keys),
        f"{EVENT}, {CREATED}, 1::BIGINT AS {COUNT}",
        *(() if spec.event_id is None else (EVENT_ID,)),
        *(f"{each.put} AS {each.name}" for each in kept_columns(every)),
        identifier(place),
    ]
    return f"SELECT {', '.join(named)} FROM (SELECT {', '.join(inner)} FROM {relation})"
