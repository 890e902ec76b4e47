"""What a plan says of exact windows: who gets what, and what they take of memory. [pure]"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from lib.instants import MICROSECOND
from materialization.stores.event_bounds import HOPS, MOST_BYTES
from materialization.transforms.windows.arguments import taken_of, window_arguments
from registry.spec.durations import duration_text
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

#: Around an event in its hop, its times and sequence; and a number of its arguments.
_AROUND, _NUMBER = 50, 9
#: More around one that is told by all that it has: the hash of that, and how often it is there.
_CONTENTS = 17
_TEXTS = ("string", "bytes", "decimal")


def told(spec: VersionSpec, *, rows: int | None = None, spans_us: int = 0) -> Iterator[str]:
    """Yield what whoever approves the version should know; nothing of what is refused anyway.

    ``rows``: how many the source has now, over ``spans_us`` microseconds.
    """
    if spec.is_pushed:
        yield from _of_pushed(spec)
        return
    yield (
        "accuracy exact: online reads and training sets both have the windows as of their own"
        " instant, of the rows that runs have found by then; offline files, checks and evidence are"
        " those of the ticks."
    )
    yield _memory(spec, _kinds_loaded(spec), more=_CONTENTS)
    if rows:
        inside, size = loaded_size(spec, rows=rows, spans_us=spans_us)
        yield (
            f"the source has {rows:,} rows now; were they spread evenly, some {inside:,} would be"
            f" within {spec.view.longest_window}: about {max(1, size >> 20):,} MB of the online"
            " store, and as much again where each is alone in its hop."
        )


def loaded_size(spec: VersionSpec, *, rows: int, spans_us: int) -> tuple[int, int]:
    """Return how many of a source's rows are online at once, and their bytes, as an estimate."""
    longest = spec.view.longest_window // MICROSECOND
    inside = -(-rows * longest // spans_us) if spans_us > longest else rows
    return inside, inside * (_size(_kinds_loaded(spec)) + _CONTENTS)


def _kinds_loaded(spec: VersionSpec) -> list[str]:
    return [each.type.kind for each in window_arguments(spec).arguments]


def _of_pushed(spec: VersionSpec) -> Iterator[str]:
    outputs, source = spec.view.aggregate_outputs(), cast("ArrivingSource", spec.rows_from)
    yield (
        f"accuracy temporal over the {source.called} {source.name!r}: online reads and training"
        " sets both have the windows as of their own instant. A row with the keys and the event"
        f" time{' and the event_id' if spec.event_id else ''} of an earlier one corrects it, from"
        " when it is known."
    )
    if spec.event_id is None:
        yield (
            f"{source.name!r} names no `event_id`: two events of one entity and time are"
            " one, the later of them. Name the column that tells them apart, if there may be two."
        )
    kinds = {}
    for feature in spec.features:
        asked = outputs.get(feature.source_column)
        if asked is None:
            continue
        taken = taken_of(asked, feature.unencoded, parse_type(source.schema[asked.column]))
        kinds[asked.column, str(taken.type), taken.make] = taken.type.kind
    yield _memory(spec, list(kinds.values()))


def _memory(spec: VersionSpec, kinds: Sequence[str], *, more: int = 0) -> str:
    size = _size(kinds) + more
    texts = " and its texts" if any(kind in _TEXTS for kind in kinds) else ""
    longest = spec.view.longest_window
    hop = timedelta(microseconds=-(-longest // MICROSECOND // HOPS))
    beyond = "a push beyond is refused" if spec.is_pushed else "a run that finds more fails"
    return (
        f"memory: the online store keeps of each entity the events of the last"
        f" {duration_text(longest)}, some {size} bytes{texts} each, in hops of"
        f" {duration_text(hop)}, some 50 bytes each, and what is known of a hop with many, a few"
        f" bytes an event at most."
        f" An entity's hop takes"
        f" {MOST_BYTES >> 10} KB of events, some {MOST_BYTES // size:,}; {beyond}."
    )


def _size(kinds: Sequence[str]) -> int:
    return _AROUND + sum(1 if kind == "bool" else _NUMBER for kind in kinds)
