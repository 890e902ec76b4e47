"""Train the model on a dataset, and keep beside it which versions and rows it was trained on.

Run it with ``ASSAY_URL``, ``ASSAY_TOKEN`` and ``ASSAY_PROJECT`` set; what it writes is JSON.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from assay import FeatureStore
from examples.churn.generate import DATA
from examples.churn.model import NONE, Model, Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from assay import Dataset

SERVICE, LABEL = "churn", "has_left"
WORDS = ["plan"]
NUMBERS = ["price_after", "days_with_us", "lessons_7d", "lessons_30d", "mean_minutes_30d"]
SPLIT = {"by": "entity", "keys": ["customer_id"], "shares": {"train": 0.8, "test": 0.2}, "seed": 7}


def train(store: FeatureStore, data: Path, *, at: datetime) -> Model:
    """Have the dataset made of all offers, fit the model, and return it."""
    dataset = store.create_dataset(
        SERVICE,
        pq.read_table(data / "offers.parquet"),
        feature_service=SERVICE,
        description="Whether a customer leaves within 30 days of an offer",
        split=SPLIT,
    )
    rows, held_out = dataset.to_df("train"), dataset.to_df("test")
    return model_of(fitted(rows), rows=rows, held_out=held_out, about=about(dataset), at=at)


def about(dataset: Dataset) -> dict[str, Any]:
    """Return what names the dataset, and what its features were computed by."""
    return {
        "dataset": f"{dataset.name}@{dataset.version}",
        "manifest_hash": dataset.manifest_hash,
        "references": [each["reference"] for each in dataset.manifest["features"]],
        "fingerprints": {
            f"{each['feature_view']}@{each['version']}": each["data_fingerprint"]
            for each in (*dataset.manifest["views"], *dataset.manifest["on_demand"])
        },
    }


def fitted(rows: pd.DataFrame) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    inputs = make_column_transformer(
        (numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), WORDS)
    )
    model = make_pipeline(inputs, LogisticRegression(max_iter=1000))
    return model.fit(ready(rows), rows[LABEL].astype(bool))


def ready(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs as scikit-learn takes them."""
    words = rows[WORDS].astype(object).where(rows[WORDS].notna(), NONE)
    return rows[NUMBERS].astype("float64").join(words)


def model_of(
    pipeline: Pipeline,
    *,
    rows: pd.DataFrame,
    held_out: pd.DataFrame,
    about: dict[str, Any],
    at: datetime,
) -> Model:
    """Read the numbers of a fitted pipeline, and how good it is on rows that it has not seen."""
    inputs, regression = pipeline[0], pipeline[-1]
    imputer, scaler = inputs.transformers_[0][1]
    encoder = inputs.transformers_[1][1]
    weights = iter(regression.coef_[0].tolist())
    facts = zip(NUMBERS, imputer.statistics_, scaler.mean_, scaler.scale_, strict=True)
    left = held_out[LABEL].astype(bool)
    return Model(
        trained_at=at,
        **about,
        numbers={
            name: Number(fill=fill, mean=mean, scale=scale, weight=next(weights))
            for name, fill, mean, scale in facts
        },
        words={
            name: {word: next(weights) for word in words}
            for name, words in zip(WORDS, encoder.categories_, strict=True)
        },
        intercept=float(regression.intercept_[0]),
        base_rate=float(rows[LABEL].mean()),
        rows=len(rows),
        accuracy=float(pipeline.score(ready(held_out), left)),
        always_the_more_frequent=float(max(left.mean(), 1 - left.mean())),
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=Path("churn-model.json"))
    options = parser.parse_args(argv)
    with FeatureStore() as store:
        model = train(store, options.data_dir, at=datetime.now(UTC))
    options.output.write_text(model.model_dump_json(indent=2) + "\n")
    print(f"{options.output}: {model.dataset}, accuracy {model.accuracy:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
