"""Rows that are sent for what a version makes of them: features out, and nothing stored.

Not for HTTP (``api``) nor for how rows are made (``materialization.ingest``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from materialization.ingest.computing import computing, unread
from materialization.ingest.refusals import Refusals
from materialization.ingest.taking import Sent, make
from materialization.stores.columns import EVENT
from registry import access, queries
from registry.choices import Right
from registry.glass import cautions
from registry.grants import Grants
from registry.spec.references import parse_reference
from registry.spec.value_types import parse_type
from serving.ingest.reading import Reading, refuse_unknown
from serving.ingest.request import count_rows
from serving.values import EPOCH_TEXT, column_ready, encoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.ingest.taking import Stored
    from serving.ingest.request import ComputeRequest


def compute(
    user: User, project: str, request: ComputeRequest, *, most_rows: int, at: datetime
) -> dict[str, Any]:
    """Return what a version makes of rows, as a read of it would answer; they are stored nowhere.

    :raises ReferenceNotFound, VersionNotReady, VersionRetired: there is no such version to read.
    :raises ActionNotPermitted, GrantNeeded: the user may not read it online.
    :raises NotComputed: no row alone says what its features are.
    :raises RowsRefused: rows that cannot be made.
    """
    rights = access.Rights(user)
    found = access.load_project(rights, project)
    named = parse_reference(f"{request.feature_view}:*")
    version = queries.served_version(project=found, view=named.view, pin=named.pin)
    rights.require(Right.READ_ONLINE, version.feature_view)
    Grants(user, at=at).require_all(version)
    target = computing(version)
    rows = count_rows(request.df, most=most_rows)
    called = {name: name for name in target.source.schema}
    refuse_unknown(request.df, [called, {name: name for name in unread(version)}])
    reading = Reading(request.df, rows)
    sent = Sent(target, reading.batch(target, called))
    refusals: Refusals = reading.refusals
    (made,) = make([sent], refusals, partial_ok=request.partial, at=at)
    names = [*(key.name for key in target.spec.join_keys)]
    features = [each.name for each in target.spec.features]
    types = {key.name: str(key.value_type) for key in target.spec.join_keys}
    types |= {each.name: each.type for each in target.spec.features}
    wrong = len(refusals.rows)
    return {
        "metadata": {
            "feature_names": [*names, *features],
            "value_types": [types[name] for name in (*names, *features)],
            "feature_view": str(version),
            "warnings": cautions([version]),
        },
        "results": [_result(made, rows, name, types[name], is_key=name in names) for name in types],
        "rows": rows,
        "left_out": rows - wrong - made.rows.num_rows,
        "refused_count": wrong,
        "refused": refusals.to_json(),
    }


def _result(made: Stored, rows: int, name: str, kind: str, *, is_key: bool) -> dict[str, Any]:
    """Return a column in the order of the rows; where a row became none, it says NOT_FOUND."""
    column = made.rows.column(name)
    write = encoder(parse_type(kind))
    values = column.to_pylist()
    values = values if write is None else [write(value) for value in values]
    statuses = np.where(column.is_null().to_numpy(zero_copy_only=False), "NULL_VALUE", "PRESENT")
    times = column_ready(made.rows.column(EVENT).to_pylist())
    return {
        "values": _spread(values, made, rows, None),
        "statuses": _spread(statuses.tolist(), made, rows, "NOT_FOUND"),
        "event_timestamps": [EPOCH_TEXT] * rows
        if is_key
        else _spread(times, made, rows, EPOCH_TEXT),
    }


def _spread(values: Sequence[Any], made: Stored, rows: int, missing: Any) -> list[Any]:
    spread = [missing] * rows
    for place, value in zip(made.places.tolist(), values, strict=True):
        spread[place] = value
    return spread
