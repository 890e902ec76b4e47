"""Pushed rows of views with exact windows, as the events that are kept of them. [pure]

Not for what a row has to be (``judging``), nor for what windows make of events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from materialization.stores.columns import CREATED, EVENT, EVENT_ID
from materialization.stores.events import EventLayout
from materialization.stores.layout import layout_of
from materialization.transforms.aggregation.events import COUNT, event_id_type
from materialization.transforms.windows.arguments import window_arguments
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from registry.spec.version_spec import VersionSpec


def event_rows(
    sent: pa.RecordBatch, spec: VersionSpec, event: pa.Array, created: pa.Array
) -> pa.RecordBatch:
    """Return the columns of events, as they are logged, of rows with the source's columns."""
    columns = {key.name: sent.column(key.name) for key in spec.join_keys}
    columns |= {EVENT: event, CREATED: created}
    columns[COUNT] = pa.repeat(pa.scalar(1, pa.int64()), sent.num_rows)
    if spec.event_id is not None:
        columns[EVENT_ID] = sent.column(spec.event_id)
    made_of = window_arguments(spec)
    for each in made_of.arguments:
        made = each.make(sent.column(each.column))
        columns[each.name] = made if made.type == each.arrow else made.cast(each.arrow)
    schema = made_of.logged
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def event_layout(spec: VersionSpec, *, uid: str) -> EventLayout:
    """Return how events of the table ``uid`` lie online; equal for all versions that share it."""
    made_of = window_arguments(spec)
    names = [each.name for each in made_of.arguments]
    types = [each.type for each in made_of.arguments]
    if made_of.is_bag:
        names, types = [*names, COUNT], [*types, parse_type("int64")]
    return EventLayout(
        uid,
        layout_of(spec, uid=uid).entity,
        tuple(names),
        tuple(types),
        made_of.windows,
        event_id_type(spec),
        made_of.is_bag,
    )
