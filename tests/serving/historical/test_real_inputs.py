"""Training sets from real inputs: Feast's driver_stats; loans with zip codes and credit history.

The files lie beside the checkout, if at all; a clone without them skips these.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import Timing
from materialization.stores.columns import stored_schema
from registry.spec.model import EntitySpec, FeatureSpec, FeatureViewSpec, JoinKey
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from registry.spec.version_spec import VersionSpec
from serving.historical.entity_frame import entity_frame
from serving.historical.features import JoinedFeature
from serving.historical.forms import ArrowFrame
from serving.historical.training_set import ViewPart, join_features
from serving.values import KeyColumn
from tests.oracle import latest_known

DATA = Path(__file__).parents[3].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the real inputs are not here: no folder {DATA}"
)
ENGINE = ENGINES["duckdb"](EngineLimits(memory_limit_mb=512, threads=2))
DRIVER = {"conv_rate": "float32", "acc_rate": "float32", "avg_daily_trips": "int32"}


def version(name: str, keys: dict[str, str], features: dict[str, str], ttl: str | None):
    entity = EntitySpec(
        name="e", join_keys=tuple(JoinKey(name=key, type=kind) for key, kind in keys.items())
    )
    specs = tuple(FeatureSpec(name=feature, type=kind) for feature, kind in features.items())
    view = FeatureViewSpec(name=name, entities=("e",), source="s", features=specs, ttl=ttl)
    time = TimeColumn(column="event_timestamp")
    source = FileSource(name="s", path="s.parquet", event_timestamp=time)
    return VersionSpec(view=view, source=source, entities=(entity,))


def stored(folder: Path, frame: pd.DataFrame, spec: VersionSpec) -> ViewPart:
    """Write the rows as the offline store has them, in two files."""
    frame = frame.assign(__sequence=1)
    schema = stored_schema(spec)
    table = pa.Table.from_pandas(frame[schema.names], schema, preserve_index=False)
    half = len(frame) // 2
    paths = [str(folder / f"{spec.view.name}-{number}.parquet") for number in (0, 1)]
    pq.write_table(table.slice(0, half), paths[0])
    pq.write_table(table.slice(half), paths[1])
    features = tuple(feature.name for feature in spec.features)
    return ViewPart(spec.view.name, spec, tuple(paths), features)


def ask(frame: pa.Table, parts: list[ViewPart], timing: Timing):
    columns = [
        JoinedFeature(feature.name, place, feature.name, feature.type)
        for place, part in enumerate(parts)
        for feature in part.spec.features
    ]
    keys = [
        KeyColumn(key.name, key.value_type, part.label)
        for part in parts
        for key in part.spec.join_keys
    ]
    sent = entity_frame(ArrowFrame(frame), keys)
    return join_features(sent, parts, columns, engine=ENGINE, timing=timing, explain=True)


@pytest.fixture
def drivers(tmp_path):
    stats = pd.read_parquet(DATA / "driver_stats.parquet")
    stats["created_timestamp"] = stats.pop("created").dt.tz_localize("UTC")
    spec = version("driver_stats", {"driver_id": "int64"}, DRIVER, None)
    return stats, stored(tmp_path, stats, spec)


@pytest.fixture
def questions(drivers):
    """Every driver and one nobody knows, at 200 instants around the data's fortnight."""
    stats, _ = drivers
    ids = [*sorted(stats["driver_id"].unique()), 4711]
    start = stats["event_timestamp"].min() - timedelta(days=1)
    times = [start + number * timedelta(minutes=107) for number in range(240)]
    return pd.DataFrame(
        [(driver, time) for time in times for driver in ids],
        columns=["driver_id", "event_timestamp"],
    )


def test_event_timing_agrees_with_pandas_merge_asof(drivers, questions):
    stats, part = drivers
    latest = stats.sort_values("created_timestamp").drop_duplicates(
        ["driver_id", "event_timestamp"], keep="last"
    )
    expected = pd.merge_asof(
        questions, latest.sort_values("event_timestamp"), on="event_timestamp", by="driver_id"
    )

    answer = ask(pa.Table.from_pandas(questions), [part], Timing.EVENT)

    found = answer.table.to_pandas()
    for name in DRIVER:
        pd.testing.assert_series_equal(found[name], expected[name], check_dtype=False)
    assert found[["driver_id"]].equals(questions[["driver_id"]])


@pytest.mark.parametrize("timing", Timing)
def test_both_timings_agree_with_the_oracle(drivers, questions, timing):
    stats, part = drivers
    rows = stats.assign(__sequence=1).to_dict("records")
    some = questions.sample(150, random_state=7)

    answer = ask(pa.Table.from_pandas(some, preserve_index=False), [part], timing)

    known = timing is Timing.KNOWN
    taken = [
        latest_known(rows, {"driver_id": one.driver_id}, one.event_timestamp, known=known)
        for one in some.itertuples()
    ]
    expected = [one and one["avg_daily_trips"] for one in taken]
    assert answer.table["avg_daily_trips"].to_pylist() == expected


def test_a_bulk_load_empties_the_known_timing_and_is_said(drivers, questions):
    stats, part = drivers
    frame = pa.Table.from_pandas(questions)

    known, event = (ask(frame, [part], timing) for timing in Timing)

    loaded = stats["created_timestamp"].min().to_pydatetime()
    early = [time < loaded for time in frame["event_timestamp"].to_pylist()]
    assert not any(
        trips is not None
        for trips, before in zip(known.table["avg_daily_trips"].to_pylist(), early, strict=True)
        if before
    )
    assert 'compare with timing "event"' in known.warnings[0]
    assert known.parts[0].differing == event.parts[0].differing > 0


def test_loans_get_zip_codes_and_credit_history_in_one_question(tmp_path):
    zip_codes = pd.read_parquet(DATA / "zipcode_table.parquet")
    credit = pd.read_csv(
        DATA / "credit_history_sample.csv", parse_dates=["event_timestamp", "created_timestamp"]
    )
    for name in ("event_timestamp", "created_timestamp"):
        credit[name] = credit[name].dt.tz_localize("UTC")
        zip_codes[name] = pd.to_datetime(zip_codes[name], utc=True)
    loans = pq.read_table(DATA / "loan_table.parquet").drop_columns("created_timestamp")
    places = version("zip", {"zipcode": "int64"}, {"city": "string", "population": "int64"}, None)
    history = version("credit", {"dob_ssn": "string"}, {"credit_card_due": "int64"}, "90d")
    parts = [stored(tmp_path, zip_codes, places), stored(tmp_path, credit, history)]

    answer = ask(loans, parts, Timing.KNOWN)

    table = answer.table
    assert table.column_names == [*loans.column_names, "city", "population", "credit_card_due"]
    assert table.drop_columns(["city", "population", "credit_card_due", "event_timestamp"]).equals(
        loans.drop_columns("event_timestamp")
    )
    for place in range(0, loans.num_rows, 2_500):
        assert_row(table.slice(place, 1).to_pylist()[0], zip_codes, credit)


def assert_row(row, zip_codes, credit):
    """Compare one row of the answer with the oracle's two."""
    at = row["event_timestamp"].astimezone(UTC)
    place = latest_known(
        zip_codes[zip_codes["zipcode"] == row["zipcode"]].assign(__sequence=1).to_dict("records"),
        {"zipcode": row["zipcode"]},
        at,
    )
    due = latest_known(
        credit[credit["dob_ssn"] == row["dob_ssn"]].assign(__sequence=1).to_dict("records"),
        {"dob_ssn": row["dob_ssn"]},
        at,
        ttl=timedelta(days=90),
    )
    assert (row["city"], row["population"]) == (
        (place["city"], place["population"]) if place else (None, None)
    )
    assert row["credit_card_due"] == (due["credit_card_due"] if due else None)
