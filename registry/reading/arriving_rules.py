"""What a source whose rows arrive, and a view that reads one, must satisfy. [pure]

Not for the rows themselves: whoever takes them judges those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.aggregation_rules import NEEDS_TICKS
from registry.reading.schema_rules import schema_problems
from registry.reading.window_rules import loaded_window_problems, window_problems
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.streams import StreamSource
from registry.spec.value_types import KEY_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: What of a view's keys makes other rows than those that arrived, and what to do instead.
_MAKERS = {
    "sources": "have what stands beside a row come with it",
    "views": "have what stands beside a row come with it",
}


def arriving_problems(spec: ArrivingSource) -> Iterator[Found]:
    yield from schema_problems(spec)
    yield from _event_id_problems(spec)
    if spec.lookback is not None:
        yield ("lookback",), "nothing of what arrives is looked at again; leave it out."
    for key in ("event_timestamp", "created_timestamp"):
        time = getattr(spec, key)
        if time is None:
            continue
        if spec.schema.get(time.column, "timestamp") != "timestamp" or time.unit != "timestamp":
            message = f"the time of a row of a {spec.called} is a column of type timestamp"
            yield (key,), f"{message}; declare it so."
        if time.column in spec.optional:
            yield ("optional",), f"{time.column!r} is the {key}, which every row has."


def _event_id_problems(spec: ArrivingSource) -> Iterator[Found]:
    name = spec.event_id
    if name is None:
        return
    if name not in spec.schema:
        hint = did_you_mean(name, sorted(spec.schema))
        yield ("event_id",), f"the schema has no column {name[:100]!r}.{hint}"
    elif spec.schema[name] not in KEY_TYPES:
        message = f"{name!r} is {spec.schema[name]}; what tells events apart is one of"
        yield ("event_id",), f"{message} {', '.join(KEY_TYPES)}."
    if name in spec.optional:
        yield ("optional",), f"{name!r} is the event_id, which every row has."


def not_pushed(spec: VersionSpec) -> list[Found]:
    """Find what of a view cannot be made of rows that arrive."""
    found: list[Found] = [
        (
            ("sources", place, "name"),
            f"{side.source.name!r} is a {side.source.called}, which no other source is joined with;"
            " what stands beside a row comes with it.",
        )
        for place, side in enumerate(spec.joined)
        if isinstance(side.source, ArrivingSource)
    ]
    if isinstance(spec.source, ArrivingSource):
        found += _of_view(spec, spec.source)
        found += window_problems(spec, spec.source)
    elif spec.stores_events_only:
        found.append((("schedule",), NEEDS_TICKS))
    else:
        found += loaded_window_problems(spec)
    return found


def _of_view(spec: VersionSpec, source: ArrivingSource) -> Iterator[Found]:
    for key, instead in _MAKERS.items():
        if getattr(spec.view, key):
            message = (
                f"a view over the {source.called} {source.name!r} makes each row of that row alone"
            )
            yield (key,), f"{message}, without `{key}`: {instead}."
    if spec.view.python is not None and isinstance(source, StreamSource):
        message = "a record that a function fails on would hold up all that come behind it"
        yield ("python",), f"{message}: have `sql` make the rows, or push them."
    if not spec.view.online:
        message = f"rows of a {source.called} are for the online store first"
        yield ("online",), f"{message}; leave `online: false` out."
    for key in ("schedule", "freshness"):
        if getattr(spec.view, key):
            message = f"rows of a {source.called} come without runs: {key!r} says nothing of them"
            yield (key,), f"{message}; leave it out."
    if spec.view.start is not None:
        yield ("start",), "rows come as they arrive: the first of them is where history begins."
    if any(spec.view.checks.in_words()):
        message = f"each row of a {source.called} is judged alone, not a view's rows as a whole"
        yield ("checks",), f"{message}. Check its features."
    for join_key in spec.join_keys:
        name = join_key.name
        declared = source.schema.get(name)
        is_made = spec.view.sql is not None
        if not is_made and declared is not None and declared != join_key.type:
            message = f"the join key {name} is {join_key.type}, and {declared} in the source"
            yield ("source", "schema", name), f"{message}; declare one type."
    for place, feature in enumerate(spec.features):
        found = _of_feature(feature, source.called)
        yield from ((("features", place, *path), said) for path, said in found)
        is_made = any((spec.view.sql, spec.view.python, feature.mask, feature.encode))
        declared = source.schema.get(feature.source_column, feature.type)
        if not is_made and declared != feature.type:
            message = f"{feature.name} is {feature.type}, and {declared} in the source"
            yield ("features", place, "type"), f"{message}: nothing is cast on the way."


def _of_feature(feature: FeatureSpec, called: str) -> Iterator[Found]:
    checks = feature.checks
    if checks.warn is not None or checks.drift is not None:
        yield ("checks",), f"`warn` and `drift` compare runs, and a {called} has none."
    if checks.not_null not in (None, 1.0):
        message = f"a share of {checks.not_null:g} is of many rows, and each is judged alone"
        yield ("checks", "not_null"), f"{message} as it arrives: write 1, or leave it out."
    if checks.unique:
        yield (
            ("checks", "unique"),
            f"it compares entities, and each row of a {called} is judged alone.",
        )
