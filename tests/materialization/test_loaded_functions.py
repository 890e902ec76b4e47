"""Every function over rows that runs load, of every type that it takes: online as in training sets.

The cases are those of pushed rows. Not for histories (``test_loaded_windows``).
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.edges.engines import engine
from materialization.edges.looks import look_at_sources
from materialization.ingest.events import event_layout
from registry.spec.value_types import parse_type
from serving.online import windows
from tests.factories import ENTITY, SOURCE, make_version
from tests.materialization.ingest.test_window_functions import (
    CASES,
    PARAMETERS,
    SQUARED,
    TYPES,
    VALUES,
    online,
)
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    fresh,
    materialize,
    offline,
    snapshot,
    table_of,
)

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
GIVEN: dict[str, list[Any]] = VALUES | SQUARED


def view() -> str:
    features, aggregations = [], []
    for name, (columns, gives) in CASES.items():
        given = PARAMETERS.get(name)
        asked = f"{{function: {name}, {given}}}" if given else name
        ends = f"{name}_{given.split()[1].replace('.', '_')}_2h" if given else f"{name}_2h"
        for column in columns:
            kind = f"list<{TYPES[column]}>" if gives == "list" else gives or TYPES[column]
            aggregations.append(f"  - {{column: {column}, functions: [{asked}], windows: [2h]}}")
            features.append(
                f'  - {{name: {name}_{column}, type: "{kind}", column: {column}_{ends}}}'
            )
    head = "kind: FeatureView\nname: windows\nentities: [driver]\nsource: driver_stats\n"
    middle = "accuracy: exact\nschedule: {every: 1h}\naggregations:\n"
    return head + middle + "\n".join([*aggregations, "features:", *features, ""])


def test_a_function_gives_online_what_it_gives_in_training_sets(cast, sources, monkeypatch):
    monkeypatch.setattr(windows, "MANY_ROWS", 1)
    monkeypatch.setattr(windows, "KNOWN_SHARE", 100)
    chance = random.Random(1)
    kinds = dict.fromkeys(("event_timestamp", "created"), "timestamp") | TYPES
    kinds["driver_id"] = "int64"
    asked, rows, version = {"driver_id": list(range(13))}, list[dict[str, Any]](), None
    for end in (AT, AT + HOUR):
        rows = [row for row in rows if chance.random() > 0.1]
        for _ in range(60):
            event = end - chance.choice([timedelta(), US, HOUR / 2, HOUR, 2 * HOUR - US])
            values = {n: chance.choice([None, *chance.sample(v, 2)]) for n, v in GIVEN.items()}
            stamps = {"event_timestamp": event, "created": event}
            rows.append({"driver_id": chance.randrange(12), **stamps, **values})
        arrays = {n: pa.array([r[n] for r in rows], parse_type(k).arrow) for n, k in kinds.items()}
        pq.write_table(pa.table(arrays), sources / "driver_stats.parquet")
        with committed():
            if version is None:
                text = "\n---\n".join((ENTITY, SOURCE, view()))
                version = make_version(cast, text=text, look=look_at_sources)
            assert materialize(fresh(version), end=end).status == "succeeded"
        for at in (end, end + HOUR / 2, end + HOUR):
            there = offline(version, asked, at=at)
            for _ in range(2):  # the second makes them of what the first has found of hops
                found = online(version, asked, at)
                differ = [n for n, v in found.items() if repr(v) != repr(there[n])]
                assert not differ, (at, {n: (found[n], there[n]) for n in differ})
    assert version is not None
    no_hop_is_larger_than_a_load_takes_it_for(version, AT + HOUR)


def no_hop_is_larger_than_a_load_takes_it_for(version: FeatureViewVersion, at: datetime) -> None:
    """A load measures the events of those entities alone that may have too many."""
    spec, files, sizes = version.spec, snapshot(version).events, Counter[tuple[bytes, bytes]]()
    layout = event_layout(spec, uid=table_of(fresh(version)).uid)
    with engine().kept_events(files, spec, as_of=at) as reader:
        for batch in reader:
            packed = layout.packed(batch, at=at, ttl=None, grace=HOUR)
            for place, size in enumerate(packed.sizes()):
                sizes[packed.keys[place], packed.hops[place]] += size
    bounds: Any = {"hop": timedelta(microseconds=layout.hop), "since": AT - 9 * HOUR}
    for (key, hop), size in sizes.most_common(20):
        found = engine().crowded_entities(files, spec, most=size - 1, **bounds)
        tags = [layout.entity.arrow_tags(each).to_pylist() for each in found.to_batches()]
        assert layout.tag_of(key) in sum(tags, []), (key, hop, size)
    most = 2 * sum(sizes.values()) + 9_000 * len(sizes)
    assert not engine().crowded_entities(files, spec, most=most, **bounds).num_rows
