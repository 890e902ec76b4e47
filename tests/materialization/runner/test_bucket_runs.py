"""Runs over files in S3-compatible storage, from the definition to both stores."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from materialization.edges.looks import look_at_sources
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import reviews, submissions
from registry.reading.parsing import InvalidDefinitions
from tests.buckets import KEY, SECRET, Bucket
from tests.factories import apply, seen
from tests.materialization.run_world import AT, HOUR, committed, materialize, offline, online
from tests.materialization.test_arrival import DRIVERS, SCHEMA, SOURCE, definitions

pytestmark = pytest.mark.django_db
TEXT = definitions(
    SOURCE.replace(
        "type: file\npath: trips/*.parquet", "type: s3\nconnection: lake\npath: '*.parquet'"
    )
)


@pytest.fixture
def bucket(storage, settings, tmp_path: Path) -> Bucket:
    made = Bucket(storage)
    path = tmp_path / "connections.toml"
    path.write_text(made.toml)
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)
    return made


def write(bucket, name, *rows):
    lines = [dict(zip(SCHEMA.names, (d, event, None, n), strict=True)) for d, event, n in rows]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), sink)
    bucket.put(f"lake/{name}.parquet", sink.getvalue().to_pybytes())


def approved(cast, text=TEXT) -> FeatureViewVersion:
    with committed():
        (draft,) = (each.draft for each in apply(text, cast, look=look_at_sources) if each.draft)
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)
        reviews.approve_version(version=draft, packet_hash=seen(draft), actor=cast.steward, at=AT)
    versions = FeatureViewVersion.objects.select_related("feature_view__project", "table")
    return versions.get(pk=draft.pk)


def test_objects_are_read_into_both_stores_and_only_new_ones_again(bucket, cast):
    write(bucket, "monday", (1, AT - 9 * HOUR, 10))
    version = approved(cast)
    with committed():
        first = materialize(version)
        unchanged = materialize(version, end=AT + HOUR)
    write(bucket, "late", (2, AT - 8 * HOUR, 20), (1, AT - 7 * HOUR, 11))
    with committed():
        late = materialize(version, end=AT + 2 * HOUR)

    assert [run.error for run in (first, unchanged, late)] == [""] * 3
    counts = [run.source_counts for run in (first, unchanged, late)]
    assert [each["parts_read"] for each in counts] == [1, 0, 1]
    assert [run.rows_offline for run in (first, unchanged, late)] == [1, 0, 2]
    asked = online(version, DRIVERS, at=AT + 2 * HOUR)["trips"]
    assert asked == offline(version, DRIVERS, at=AT + 2 * HOUR)["trips"] == [11, 20, None, None]


TABLE = TEXT.replace("type: s3", "type: delta").replace("path: '*.parquet'", "path: trips")


def write_table(bucket, folder, *rows):
    lines = [dict(zip(SCHEMA.names, (d, event, None, n), strict=True)) for d, event, n in rows]
    write_deltalake(folder, pa.Table.from_pylist(lines, schema=SCHEMA), mode="append")
    bucket.put_folder(folder, "lake/trips")


def test_a_delta_table_in_a_bucket_is_read_into_both_stores_and_only_new_files_again(
    bucket, cast, tmp_path
):
    table = tmp_path / "trips"
    write_table(bucket, table, (1, AT - 9 * HOUR, 10))
    version = approved(cast, TABLE)
    with committed():
        first = materialize(version)
        unchanged = materialize(version, end=AT + HOUR)
    write_table(bucket, table, (2, AT - 8 * HOUR, 20), (1, AT - 7 * HOUR, 11))
    with committed():
        late = materialize(version, end=AT + 2 * HOUR)
    DeltaTable(table).optimize.compact()
    bucket.put_folder(table, "lake/trips")
    with committed():
        compacted = materialize(version, end=AT + 3 * HOUR)

    runs = first, unchanged, late, compacted
    assert [run.error for run in runs] == [""] * 4
    assert [run.source_counts["parts_read"] for run in runs] == [1, 0, 1, 1]
    assert [run.rows_offline for run in runs] == [1, 0, 2, 0]
    asked = online(version, DRIVERS, at=AT + 3 * HOUR)["trips"]
    assert asked == offline(version, DRIVERS, at=AT + 3 * HOUR)["trips"] == [11, 20, None, None]


def test_a_delta_table_is_embedded_with_where_its_connection_leads(bucket, cast, tmp_path):
    write_table(bucket, tmp_path / "trips", (1, AT - 9 * HOUR, 10))

    spec = approved(cast, TABLE).spec

    assert spec.source.where() == "lake: trips"
    assert spec.root_identity == bucket.link().connection.identity
    assert spec.schema.types["trips"] == "BIGINT"


def test_a_source_of_another_kind_is_told_which_connection_it_needs(bucket, cast):
    text = TEXT.replace("type: s3", "type: postgres").replace("path: '*.parquet'", "table: trips")

    with committed(), pytest.raises(InvalidDefinitions, match="is of kind s3") as caught:
        apply(text, cast, look=look_at_sources)
    assert "read by one of kind postgres" in str(caught.value)


def test_neither_the_trail_nor_a_spec_nor_an_error_has_a_key(bucket, cast):
    write(bucket, "monday", (1, AT - 9 * HOUR, 10))
    version = approved(cast)
    bucket.remove("lake/monday.parquet")
    with committed():
        failed = materialize(version)

    assert failed.status == "failed"
    assert "no object matches '*.parquet' by the connection lake" in failed.error
    told = [failed.error, version.spec_json, *map(str, AuditEntry.objects.values())]
    assert not [each for each in told if SECRET in each or KEY in each.split('"')]
