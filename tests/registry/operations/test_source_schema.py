"""What a source is, is taken at submit, embedded, and compared by what a view reads of it."""

from __future__ import annotations

import pytest

from registry.models import FeatureViewVersion
from registry.operations.lifecycle import submissions
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.factories import AT, DEFINITIONS, VIEW, Report, apply

pytestmark = pytest.mark.django_db

TYPES = {
    "driver_id": "BIGINT", "event_timestamp": "TIMESTAMP WITH TIME ZONE",
    "created": "TIMESTAMP WITH TIME ZONE", "conv_rate": "FLOAT", "acc_rate": "FLOAT",
    "avg_daily_trips": "INTEGER",
}  # fmt: skip


def seeing(**changed):
    """Return a look at a source whose columns are those of ``TYPES``, but for these."""
    types = {name: kind for name, kind in (TYPES | changed).items() if kind}
    columns = tuple(SourceColumn(name=name, type=types[name]) for name in sorted(types))

    def look(*, specs, project, unseen=()):
        assert all(spec.schema is None for spec in specs)
        return [Report(schema=SourceSchema(format="parquet", columns=columns)) for _ in specs]

    return look


def submitted(cast, text, look):
    *_, view = apply(text, cast, look=look, submit=True, look_all=True)
    return view


def loaded():
    return FeatureViewVersion.objects.order_by("id").last()


def test_it_is_embedded_at_submit_and_belongs_to_the_data(cast):
    submitted(cast, DEFINITIONS, seeing())
    version = loaded()

    assert version.spec.schema.types == TYPES
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    before = version.data_fingerprint
    submissions.submit_version(
        version=version, actor=cast.author, at=AT, look=seeing(conv_rate="DOUBLE")
    )
    assert version.spec.schema.types["conv_rate"] == "DOUBLE"
    assert version.data_fingerprint != before
    assert version.table.fingerprint == version.data_fingerprint


def test_a_column_more_is_said_and_changes_nothing(cast):
    submitted(cast, DEFINITIONS, seeing())
    view = submitted(cast, DEFINITIONS, seeing(tip="DOUBLE"))

    assert view.change == "unchanged"
    assert any("columns it had not at" in each and "tip" in each for each in view.warnings)


def test_another_type_of_a_column_that_is_read_is_a_major_change(cast):
    submitted(cast, DEFINITIONS, seeing())
    view = submitted(cast, DEFINITIONS, seeing(conv_rate="VARCHAR"))

    assert view.version == "2.0.0"
    assert view.reasons == ["the source's column conv_rate: FLOAT became VARCHAR"]


def test_a_feature_more_is_minor_though_it_reads_a_column_more(cast):
    submitted(cast, DEFINITIONS, seeing())
    more = VIEW.replace("ttl: 2d", "  - {name: tip, type: float64}\nttl: 2d")
    view = submitted(cast, more, seeing(tip="DOUBLE"))

    assert (view.version, view.reasons) == ("1.1.0", ["feature tip added"])
