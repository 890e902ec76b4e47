"""The example's model: who watched again, and a model as JSON with what it was fitted to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from examples.streaming.generate import generate
from examples.streaming.train import DAYS_BACK, LABEL, fitted, labelled

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 3, 1, 14, 33, tzinfo=UTC)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streaming")
    generate(folder, at=AT, users=200, days=60)
    return folder


def test_each_user_is_there_at_each_instant_and_some_watch_again(data):
    frame = labelled(data)

    assert len(frame) == frame["user_id"].nunique() * len(DAYS_BACK)
    assert frame["event_timestamp"].nunique() == len(DAYS_BACK)
    assert 0 < frame[LABEL].mean() < 1


def test_the_model_is_json_with_a_weight_for_each_feature(data):
    rows = labelled(data)
    count = rows["user_id"] % 30
    segments = ["regular", "regular", None, None] * (len(rows) // 4)
    rows = rows.assign(
        watch_count_30d=count.where(count > 2).astype("Int64"),
        user_segment=pd.array(segments, "string"),
        last_genre="drama",
    )

    model = fitted(rows[::2], rows[1::2])

    assert 0 <= model["accuracy"] <= 1
    assert set(json.loads(json.dumps(model))["coefficients"]) == {
        "onehotencoder__user_segment_regular",
        "onehotencoder__user_segment_unknown",
        "onehotencoder__last_genre_drama",
        "standardscaler__watch_count_30d",
    }
