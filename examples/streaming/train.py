"""A model of who watches again, trained on a dataset, with the dataset's hash beside it.

Run it beside the demo's server (``ASSAY_URL``, ``ASSAY_TOKEN``, ``ASSAY_PROJECT``). What it writes
is JSON: the coefficients, how good they are, and which rows they were fitted to.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.dataset as ds
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from assay import FeatureStore

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).resolve().parent / "data"
LABEL = "watched_again"
WORDS, NUMBERS = ["user_segment", "last_genre"], ["watch_count_30d"]
#: Who watched something within a week of each of these instants, so many days before the newest.
WEEK, DAYS_BACK = timedelta(days=7), (28, 21, 14, 7)
SPLIT = {"by": "entity", "keys": ["user_id"], "shares": {"train": 0.8, "test": 0.2}, "seed": 7}


def labelled(data: Path) -> pd.DataFrame:
    """Return each user at each instant, and whether they watched anything in the week after it."""
    columns = ["user_id", "watched_at"]
    events = ds.dataset(data / "watch_events").to_table(columns=columns).to_pandas()
    newest, users = events["watched_at"].max(), events["user_id"].unique()
    frames = []
    for days in DAYS_BACK:
        at = newest - timedelta(days=days)
        within = events["watched_at"].gt(at) & events["watched_at"].le(at + WEEK)
        again = pd.Index(users).isin(events.loc[within, "user_id"])
        frames.append(pd.DataFrame({"user_id": users, "event_timestamp": at, LABEL: again}))
    return pd.concat(frames, ignore_index=True)


def fitted(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Fit a logistic regression to the one part, and return it with its accuracy on the other."""
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), WORDS), (StandardScaler(), NUMBERS)
    )
    model = make_pipeline(encoded, LogisticRegression(max_iter=1000))
    model.fit(_ready(train), train[LABEL].astype(bool))
    weights = model[-1].coef_[0]
    return {
        "coefficients": dict(zip(model[0].get_feature_names_out(), weights.tolist(), strict=True)),
        "intercept": float(model[-1].intercept_[0]),
        "accuracy": float(model.score(_ready(test), test[LABEL].astype(bool))),
        "always_the_more_frequent": float(max(test[LABEL].mean(), 1 - test[LABEL].mean())),
    }


def _ready(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the features as scikit-learn takes them: nobody's segment is a word, no count is 0."""
    words = rows[WORDS].astype(object).where(rows[WORDS].notna(), "unknown")
    return words.join(rows[NUMBERS].astype("float64").fillna(0.0))


def train(store: FeatureStore, data: Path) -> dict[str, Any]:
    """Have the dataset made, fit the model, and return it with what it was fitted to."""
    dataset = store.create_dataset(
        LABEL,
        labelled(data),
        feature_service="recommender",
        description="Whether a user watches anything in the week after",
        split=SPLIT,
    )
    return {
        "trained_at": datetime.now(UTC).isoformat(),
        "dataset": f"{dataset.name}@{dataset.version}",
        "manifest_hash": dataset.manifest_hash,
        **fitted(dataset.to_df("train"), dataset.to_df("test")),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=Path("model.json"))
    options = parser.parse_args(argv)
    with FeatureStore() as store:
        model = train(store, options.data_dir)
    options.output.write_text(json.dumps(model, indent=2) + "\n")
    print(f"{options.output}: {model['dataset']}, accuracy {model['accuracy']:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
