"""The churn example apart from a server: its data, its model as JSON, its service beside a peer."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from assay import AsyncFeatureStore
from examples.churn import service
from examples.churn.generate import SCHEMAS, generate
from examples.churn.model import Model
from examples.churn.train import NUMBERS, WORDS, fitted, model_of, ready
from registry.choices import Kind
from registry.reading.parsing import parse_files
from tests.client import conftest as client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import Peer

DEFINITIONS = Path(__file__).parents[2] / "examples" / "churn" / "definitions"
AT = datetime(2026, 3, 1, 14, 33, tzinfo=UTC)
REFERENCES = ["offer@1.0.0:price_after", "subscription@1.0.0:plan"]
VERSION = "feature-views/subscription/versions/1.0.0"
SERVED = {"data_fingerprint": "f1", "ready": True, "state": "approved"}
peer = client.peer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("churn")
    generate(folder, at=AT, customers=300)
    return folder


def specs(kind: Kind) -> list[Any]:
    files = [(path.name, path.read_text()) for path in sorted(DEFINITIONS.glob("*.yaml"))]
    return [definition.spec for definition in parse_files(files) if definition.kind == kind]


def test_nobody_learns_before_they_joined_or_after_now_and_some_leave(data):
    subscriptions, lessons, offers = (
        pq.read_table(data / f"{name}.parquet").to_pandas() for name in SCHEMAS
    )

    joined = subscriptions.groupby("customer_id")["joined_at"].min()
    assert (lessons["taken_at"] >= lessons["customer_id"].map(joined)).all()
    assert lessons["loaded_at"].max() <= AT and subscriptions["loaded_at"].max() <= AT
    assert offers["customer_id"].is_unique and 0.1 < offers["has_left"].mean() < 0.9


def test_the_same_seed_writes_the_same_rows(data, tmp_path):
    generate(tmp_path, at=AT, customers=300)

    for name in SCHEMAS:
        again = pq.read_table(tmp_path / f"{name}.parquet")
        assert again.equals(pq.read_table(data / f"{name}.parquet"))


def test_the_definitions_are_about_columns_that_the_data_has():
    for source in specs(Kind.DATA_SOURCE):
        names = SCHEMAS[source.path.partition(".")[0]].names
        assert {source.event_timestamp.column, source.created_timestamp.column} <= set(names)
    views = [*specs(Kind.FEATURE_VIEW), *specs(Kind.ON_DEMAND_FEATURE_VIEW)]
    offered = {f"{view.name}:{feature.name}" for view in views for feature in view.features}

    (read,) = specs(Kind.FEATURE_SERVICE)

    assert set(read.features) <= offered
    assert {each.partition(":")[2] for each in read.features} == {*NUMBERS, *WORDS}


def training_rows() -> pd.DataFrame:
    """Rows with every kind of hole, in the types that a dataset gives."""
    count = pd.Series(range(200))
    return pd.DataFrame(
        {
            "plan": pd.array(["basic", "plus", None, "family"] * 50, "string"),
            "price_after": (9.0 + count % 7).where(count % 11 > 0),
            "days_with_us": (count % 90).astype("Int64"),
            "lessons_7d": (count % 5).where(count % 3 > 0).astype("Int64"),
            "lessons_30d": (count % 13).astype("Int64"),
            "mean_minutes_30d": (15.0 + count % 30).where(count % 4 > 0),
            "has_left": (count * 7 % 10 < 4).astype("boolean"),
        }
    )


def test_the_model_as_json_says_what_scikit_learn_says():
    rows = training_rows()
    pipeline = fitted(rows)
    about = {"dataset": "churn@1", "manifest_hash": "m", "references": [], "fingerprints": {}}
    kept = model_of(pipeline, rows=rows, held_out=rows, about=about, at=AT).model_dump_json()

    model = Model.model_validate_json(kept)

    unseen = rows.assign(plan="of another year").astype({"plan": "string"})
    for asked in (rows, unseen):
        expected = pipeline.predict_proba(ready(asked))[:, 1]
        values = asked.astype(object).where(asked.notna(), None).to_dict("records")
        predicted = [model.predict(each) for each in values]
        assert [each.chance for each in predicted] == pytest.approx(expected, abs=1e-12)
        holes = [[n for n in (*NUMBERS, *WORDS) if row[n] is None] for row in values]
        assert [each.filled for each in predicted] == holes


def model() -> Model:
    number = {"fill": 15.0, "mean": 10.0, "scale": 5.0, "weight": 1.0}
    return Model.model_validate(
        {
            "trained_at": "2026-03-01T00:00:00Z",
            "dataset": "churn@1",
            "manifest_hash": "m",
            "references": REFERENCES,
            "fingerprints": {"subscription@1.0.0": "f1"},
            "numbers": {"price_after": number},
            "words": {"plan": {"basic": -1.0, "none": 0.5}},
            "intercept": 0.0,
            "base_rate": 0.3,
            "rows": 100,
            "accuracy": 0.9,
            "always_the_more_frequent": 0.7,
        }
    )


AWAY = {"code": "unavailable", "detail": "not now"}


@contextmanager
def served(peer: Peer, *, is_away: bool = False, **version: Any) -> Iterator[TestClient]:
    """Run the service; with ``is_away`` the first that asks for the versions is not answered."""
    if is_away:
        peer.answers_with(f"GET {VERSION}", AWAY, 503)
    peer.answers_with(f"GET {VERSION}", SERVED | version)
    store = AsyncFeatureStore(peer.url, "assay_t", "rides", timeout=60, retries=0)
    with TestClient(service.application(model(), store)) as running:
        yield running


def online(*rows: tuple[int, float | None, str | None]) -> dict[str, Any]:
    """Return an answer with these keys, prices and plans; None is a row that is not there."""
    columns = [[row[place] for row in rows] for place in range(3)]
    return {
        "metadata": {
            "feature_names": ["customer_id", "price_after", "plan"],
            "value_types": ["int64", "float64", "string"],
        },
        "results": [
            {
                "values": values,
                "statuses": ["NOT_FOUND" if each is None else "PRESENT" for each in values],
                "event_timestamps": ["2026-03-01T00:00:00Z"] * len(rows),
            }
            for values in columns
        ],
    }


def test_it_predicts_from_the_features_of_the_trained_versions_and_tells_their_statuses(peer):
    peer.answers_with("POST get-online-features", online((1, 20.0, "basic"), (2, None, None)))

    with served(peer) as running:
        asked = {"customers": [{"customer_id": 1, "discount": 2.0}, {"customer_id": 2}]}
        answer = running.post("/predict", json=asked).json()

    sent = peer.requests[-1].json()
    assert sent["features"] == REFERENCES
    assert sent["entities"] == {"customer_id": [1, 2], "discount": [2.0, 0.0]}
    first, second = answer["predictions"]
    # (20 - 10) / 5 - 1 = 1, and with the fill (15 - 10) / 5 + 0.5.
    assert first["chance"] == pytest.approx(0.7310585786300049)
    assert first["features"]["plan"] == {"value": "basic", "status": "PRESENT"}
    assert second["chance"] == pytest.approx(0.8175744761936437)
    assert second["filled"] == ["price_after", "plan"]
    assert second["features"]["plan"] == {"value": None, "status": "NOT_FOUND"}
    assert (answer["manifest_hash"], answer["fallback"]) == ("m", None)


@pytest.mark.parametrize(("status", "code"), [(503, "not_loaded"), (429, "too_often")])
def test_where_features_cannot_be_read_now_it_answers_the_base_rate_and_why(peer, status, code):
    problem = {"code": code, "detail": "not now"}
    peer.answers_with("POST get-online-features", problem, status)

    with served(peer) as running:
        answer = running.post("/predict", json={"customers": [{"customer_id": 1}]})
        about = running.get("/readyz").json()
        alive = running.get("/healthz").status_code

    (told,) = answer.json()["predictions"]
    assert (answer.status_code, told["chance"], told["basis"]) == (200, 0.3, "base_rate")
    assert answer.json()["fallback"] == problem
    assert (about["reads_features"], about["why"], alive) == (False, problem, 200)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (410, "gone")]
)
def test_what_another_try_would_not_mend_is_no_prediction(peer, status, code):
    peer.answers_with("POST get-online-features", {"code": code, "detail": "no"}, status)

    with served(peer) as running:
        answer = running.post("/predict", json={"customers": [{"customer_id": 1}]})
        ready = running.get("/readyz")

    why = {"code": code, "detail": "no"}
    assert (answer.status_code, answer.json()) == (503, why)
    # Were it not ready, nobody would ask it again, and it would never be.
    assert (ready.status_code, ready.json()["why"]) == (200, why)


def test_asking_whether_it_is_ready_reads_no_features(peer):
    with served(peer) as running:
        ready = running.get("/readyz")

    assert (ready.status_code, ready.json()["reads_features"]) == (200, True)
    assert {sent.method for sent in peer.requests} == {"GET"}


def test_it_starts_while_versions_cannot_be_asked_for_and_checks_before_the_first_read(peer):
    for _ in range(2):
        peer.answers_with(f"GET {VERSION}", AWAY, 503)
    peer.answers_with("POST get-online-features", online((1, 20.0, "basic")))
    asked = {"customers": [{"customer_id": 1}]}

    with served(peer, is_away=True) as running:
        ready = running.get("/readyz").json()
        away = running.post("/predict", json=asked).json()
        assert {sent.method for sent in peer.requests} == {"GET"}
        back = running.post("/predict", json=asked).json()
        again = running.get("/readyz").json()

    assert (ready["reads_features"], ready["why"]) == (False, AWAY)
    assert (away["predictions"][0]["basis"], away["fallback"]) == ("base_rate", AWAY)
    assert (back["predictions"][0]["basis"], back["fallback"]) == ("features", None)
    assert (again["reads_features"], again["why"]) == (True, None)


def test_it_starts_without_a_server():
    store = AsyncFeatureStore("http://127.0.0.1:9", "assay_t", "rides", timeout=5, retries=0)

    with TestClient(service.application(model(), store)) as running:
        ready = running.get("/readyz")

    assert (ready.status_code, ready.json()["why"]["code"]) == (200, "server_unreachable")


def test_a_prediction_does_not_wait_longer_for_the_check_than_for_features():
    async def asked(url: str) -> Any:
        async with AsyncFeatureStore(url, "assay_t", "rides", retries=0) as store:
            features = service.Features(store, model(), timeout=0.01)
            told = await features.read([service.Customer(customer_id=1)])
            features.stop()
            return told

    with socket.create_server(("127.0.0.1", 0)) as hanging:
        found, why = asyncio.run(asked(f"http://127.0.0.1:{hanging.getsockname()[1]}"))

    assert found is None
    assert "being checked" in why.detail


def test_versions_that_turn_out_to_be_others_are_no_prediction_and_not_ready(peer):
    with served(peer, is_away=True, data_fingerprint="f2") as running:
        answer = running.post("/predict", json={"customers": [{"customer_id": 1}]})
        ready = running.get("/readyz")

    for refused in (answer, ready):
        assert (refused.status_code, refused.json()["code"]) == (503, "not_the_trained")
        assert "train again" in refused.json()["detail"]
    assert {sent.method for sent in peer.requests} == {"GET"}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"customers": []},
        {"customers": [{"customer_id": "a"}]},
        {"customers": [{"customer_id": 2**63}]},
        {"customers": [{"customer_id": 1, "discount": -1}]},
        {"customers": [{"customer_id": 1, "plan": "basic"}]},
        {"customers": [{"customer_id": 1}] * 1001},
    ],
)
def test_a_question_that_is_none_is_refused_before_features_are_read(peer, asked):
    with served(peer) as running:
        answer = running.post("/predict", json=asked)

    assert answer.status_code == 422
    assert {sent.method for sent in peer.requests} == {"GET"}


@pytest.mark.parametrize(
    ("version", "said"),
    [({"data_fingerprint": "f2"}, "train again"), ({"ready": False}, "not ready")],
)
def test_it_does_not_start_with_other_features_than_the_trained(peer, version, said):
    with pytest.raises(service.NotTheTrained, match=said), served(peer, **version):
        pass
