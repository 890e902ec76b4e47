"""A source's files between submit and approve: what is decided on is what was looked at."""

from __future__ import annotations

import os
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.edges.looks import look_at_sources
from registry.choices import State
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import packets, submissions
from registry.operations.lifecycle.packets import SourceSwapped
from tests.factories import AT, DEFINITIONS, apply, approve, make_cast, seen, token_for

pytestmark = pytest.mark.django_db


def write(path, rate: float) -> None:
    """Write one row; the schema is that of the definitions."""
    columns = {
        "driver_id": [1], "event_timestamp": [AT], "created": [AT],
        "conv_rate": pa.array([rate], pa.float32()), "acc_rate": pa.array([rate], pa.float32()),
        "avg_daily_trips": pa.array([3], pa.int32()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)


@pytest.fixture
def cast(db, sources):
    return make_cast(root=str(sources))


@pytest.fixture
def waiting(cast, sources) -> FeatureViewVersion:
    (sources / "days").mkdir()
    write(sources / "days" / "a.parquet", 0.5)
    write(sources / "days" / "b.parquet", 0.5)
    text = DEFINITIONS.replace("path: driver_stats.parquet", "path: days/*.parquet")
    apply(text, cast, look=look_at_sources)
    version = FeatureViewVersion.objects.select_related("feature_view__project").get()
    return submit(version, cast)


def submit(version, cast, *, at=AT):
    return submissions.submit_version(
        version=version, actor=cast.author, at=at, look=look_at_sources
    )


def test_the_packet_says_which_files_were_looked_at(waiting):
    assert sorted(waiting.packet["source"]["files"]) == ["days/a.parquet", "days/b.parquet"]


def test_a_file_that_was_swapped_is_named_and_nothing_approved(cast, sources, waiting):
    file = sources / "days" / "a.parquet"
    before = file.stat()
    write(sources / "other.parquet", 0.7)
    (sources / "other.parquet").replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(SourceSwapped, match=r"days/a.parquet is another\. Withdraw and submit"):
        approve(waiting, cast.steward)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reviews.count()) == (State.IN_REVIEW, 0)

    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    submit(waiting, cast, at=AT + timedelta(hours=1))
    assert approve(waiting, cast.steward).state == State.APPROVED


def test_a_file_that_is_gone_is_named_over_http(cast, sources, waiting, client):
    (sources / "days" / "b.parquet").unlink()

    answer = client.post(
        "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/approve",
        {"packet_hash": seen(waiting)},
        content_type="application/json",
        headers={"authorization": f"Bearer {token_for(cast.steward)}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "source_swapped")
    assert "days/b.parquet is gone" in answer.json()["detail"]


def test_files_too_many_to_be_named_are_compared_all_the_same(cast, sources, waiting, monkeypatch):
    monkeypatch.setattr(packets, "MOST_FILES", 1)
    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    submit(waiting, cast, at=AT + timedelta(hours=1))
    write(sources / "days" / "c.parquet", 0.9)
    write(sources / "days" / "b.parquet", 0.7)

    with pytest.raises(SourceSwapped, match=r"1 of its 2 files are gone or others\. Withdraw"):
        approve(waiting, cast.steward)
    assert "files" not in waiting.packet["source"]


def test_files_too_many_to_be_named_may_be_joined_by_others(cast, sources, waiting, monkeypatch):
    monkeypatch.setattr(packets, "MOST_FILES", 1)
    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    submit(waiting, cast, at=AT + timedelta(hours=1))
    write(sources / "days" / "c.parquet", 0.9)

    assert approve(waiting, cast.steward).state == State.APPROVED


def test_files_that_came_since_keep_nobody_from_deciding(cast, sources, waiting):
    write(sources / "days" / "c.parquet", 0.9)

    assert approve(waiting, cast.steward).state == State.APPROVED


def test_the_page_says_how_the_files_differ_from_those_at_submit(as_, cast, sources, waiting):
    page = f"/admin/registry/featureviewversion/{waiting.pk}/change/"
    assert "Since it was submitted" not in as_("steward").get(page).text

    write(sources / "days" / "c.parquet", 0.9)
    assert "Since it was submitted: 1 file is new or changed." in as_("steward").get(page).text

    (sources / "days" / "b.parquet").unlink()
    said = "1 file is new or changed; days/b.parquet is gone."
    assert said in as_("steward").get(page).text


def test_files_too_many_to_be_named_are_counted(cast, sources, waiting, monkeypatch):
    monkeypatch.setattr(packets, "MOST_FILES", 1)
    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    submit(waiting, cast, at=AT + timedelta(hours=1))
    assert packets.files_since(waiting) == ""

    write(sources / "days" / "b.parquet", 0.7)
    write(sources / "days" / "c.parquet", 0.9)
    said = "2 files are new or changed; 1 of its 2 files are gone or others."
    assert packets.files_since(waiting) == f"Since it was submitted: {said}"
