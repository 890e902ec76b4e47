"""What a plan says of exact windows: who gets what, and what they take of memory. [pure]"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from lib.instants import MICROSECOND
from materialization.stores.event_bounds import HOPS, MOST_BYTES
from materialization.transforms.windows.arguments import taken_of
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

#: Around an event in its hop, its times and sequence; and a number of its arguments.
_AROUND, _NUMBER = 50, 9
_TEXTS = ("string", "bytes", "decimal")


def told(spec: VersionSpec) -> Iterator[str]:
    """Yield what whoever approves the version should know; nothing of what is refused anyway."""
    if not spec.is_pushed:
        return
    yield (
        "accuracy temporal over pushed rows: online reads and training sets both have the windows"
        " as of their own instant. A row with the keys and the event time"
        f"{' and the event_id' if spec.event_id else ''} of an earlier one corrects it, from when"
        " it is known."
    )
    if spec.event_id is None:
        yield (
            f"{spec.rows_from.name!r} names no `event_id`: two events of one entity and time are"
            " one, the later of them. Name the column that tells them apart, if there may be two."
        )
    outputs, source = spec.view.aggregate_outputs(), cast("ArrivingSource", spec.rows_from)
    kinds = {}
    for feature in spec.features:
        asked = outputs.get(feature.source_column)
        if asked is None:
            continue
        taken = taken_of(asked, feature, parse_type(source.schema[asked.column]))
        kinds[asked.column, str(taken.type), taken.make] = taken.type.kind
    size = _AROUND + sum(1 if kind == "bool" else _NUMBER for kind in kinds.values())
    more = " and its texts" if any(kind in _TEXTS for kind in kinds.values()) else ""
    longest = spec.view.longest_window
    hop = timedelta(microseconds=-(-longest // MICROSECOND // HOPS))
    yield (
        f"memory: the online store keeps of each entity the events of the last {longest}, some"
        f" {size} bytes{more} each, in hops of {hop}, some 50 bytes each, and what is known of a"
        f" hop with many, a few bytes an event at most. An entity's hop takes"
        f" {MOST_BYTES >> 10} KB of events, some {MOST_BYTES // size:,}; a push beyond is refused."
    )
