"""The streaming example's definitions: valid as they stand, and about columns that the data has.
Not for what applying them does: the journeys show that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from examples.streaming.segments import SEGMENTS_SCHEMA
from examples.streaming.viewing import EVENTS_SCHEMA
from registry.choices import Kind
from registry.reading.parsing import parse_files

DEFINITIONS = Path(__file__).parents[2] / "examples" / "streaming" / "definitions"
SCHEMAS = {"watch_events": EVENTS_SCHEMA, "user_segments": SEGMENTS_SCHEMA}


def specs(kind: Kind) -> list[Any]:
    files = [(path.name, path.read_text()) for path in sorted(DEFINITIONS.glob("*.yaml"))]
    return [definition.spec for definition in parse_files(files) if definition.kind == kind]


def test_the_sources_name_time_columns_of_the_files() -> None:
    sources = {source.name: source for source in specs(Kind.DATA_SOURCE)}

    assert sources.keys() == SCHEMAS.keys()
    for name, source in sources.items():
        assert source.path == f"{name}/*.parquet"
        assert source.event_timestamp.column in SCHEMAS[name].names
        assert source.created_timestamp.column in SCHEMAS[name].names


def test_views_of_plain_columns_and_aggregations_read_columns_of_the_files() -> None:
    for view in specs(Kind.FEATURE_VIEW):
        wanted = {aggregation.column for aggregation in view.aggregations}
        if not view.aggregations and view.sql is None:
            wanted = {feature.source_column for feature in view.features}
        assert wanted <= set(SCHEMAS[view.source].names)


def test_the_recommender_reads_features_that_the_views_have() -> None:
    views = specs(Kind.FEATURE_VIEW)
    offered = {f"{view.name}:{feature.name}" for view in views for feature in view.features}

    [recommender] = specs(Kind.FEATURE_SERVICE)

    assert recommender.features == (
        "user_segment:user_segment",
        "watch_activity:watch_count_30d",
        "last_watched:last_genre",
    )
    assert set(recommender.features) <= offered
