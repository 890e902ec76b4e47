"""The source of the tests' definitions as a table of PostgreSQL.

Not for the server (``tests.postgres``) or for runs (``run_world``).
"""

from __future__ import annotations

import psycopg

from materialization.edges.looks import look_at_sources
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import reviews, submissions
from tests.factories import DEFINITIONS, SOURCE, apply, seen
from tests.materialization.run_world import AT, committed

TABLE = """
kind: DataSource
name: driver_stats
type: postgres
connection: warehouse
table: driver_stats
event_timestamp: event_timestamp
created_timestamp: created
"""
TEXT = DEFINITIONS.replace(SOURCE, TABLE)
COLUMNS = (
    "driver_id bigint, event_timestamp timestamptz, created timestamptz, conv_rate real,"
    " acc_rate real, avg_daily_trips int, internal point"
)


def insert(warehouse, rows):
    with psycopg.connect(warehouse.url, autocommit=True) as connection:
        for key, event, created, rate, trips in rows:
            connection.execute(
                "INSERT INTO driver_stats VALUES (%s, %s, %s, %s, %s, %s)",
                (key, event, created, rate, rate, trips),
            )


def approved(cast, text=TEXT) -> FeatureViewVersion:
    with committed():
        (draft,) = (each.draft for each in apply(text, cast, look=look_at_sources) if each.draft)
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)
        reviews.approve_version(version=draft, packet_hash=seen(draft), actor=cast.steward, at=AT)
    return FeatureViewVersion.objects.select_related("feature_view__project", "table").get(
        pk=draft.pk
    )
