"""The churn example, whole: defined, approved, trained, served by uvicorn, and Redis taken away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay import FeatureStore
from examples.churn.generate import generate
from examples.churn.model import Model
from featurestore_project import processes
from tests import servers
from tests.journeys.test_golden_path import settled, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite")]

DEFINITIONS = servers.ROOT / "examples" / "churn" / "definitions"
CUSTOMERS = 300


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("school")
    generate(folder, at=datetime.now(UTC), customers=CUSTOMERS)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any, data: Path) -> Iterator[servers.Server]:
    state = tmp_path_factory.mktemp("state")
    with servers.assay_server(state, FILE_ROOTS=str(data)) as running:
        yield running


@pytest.fixture(scope="module")
def ana(server: servers.Server, data: Path) -> FeatureStore:
    """Give the author's store, with all that the example defines approved and loaded."""
    ana, sam = (
        FeatureStore(url=server.url, token=token, project="rides")
        for token in settled(server, data)
    )
    # The offer names versions of views, which are approved first.
    for files, views in (("[12]_*.yaml", ("subscription", "lesson_activity")), ("*", ("offer",))):
        ana.apply(sorted(DEFINITIONS.glob(files)), submit=True)
        for view in views:
            review = until(partial(_assayed, sam, view))
            sam.approve(view, comment="fine", packet_hash=review["packet_hash"])
        until(lambda: all(ana.get_feature_view(view)["default_version"] for view in views))  # noqa: B023
    return ana


def _assayed(store: FeatureStore, view: str) -> Any:
    review = store.review(view)
    return review if review["evidence"]["status"] == "computed" else None


@pytest.fixture(scope="module")
def env(server: servers.Server, ana: FeatureStore, data: Path) -> dict[str, str]:
    """Give what the example's programs are told, with a model trained."""
    config = ana._transport.config
    env = os.environ | {
        "ASSAY_URL": server.url,
        "ASSAY_TOKEN": str(config.token),
        "ASSAY_PROJECT": "rides",
        "CHURN_MODEL": str(data / "churn-model.json"),
        "CHURN_TIMEOUT": "2",
    }
    command = [sys.executable, "-m", "examples.churn.train", "--data-dir", str(data)]
    subprocess.run(
        [*command, "--output", env["CHURN_MODEL"]], env=env, check=True, cwd=servers.ROOT
    )
    return env


@contextmanager
def serving(env: dict[str, str], log: Path) -> Iterator[str]:
    """Run the example's service; gives its address."""
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "--port", str(port)]
    started = [*command, "examples.churn.service:from_environment"]
    child = processes.start("churn", started, log=log, env=env)
    try:
        servers.await_ready(child, f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop([child])


def asked(address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def predictions(address: str, customers: list[int], discount: float = 2.0) -> Any:
    who = [{"customer_id": each, "discount": discount} for each in customers]
    return asked(f"{address}/predict", {"customers": who})


def redis_of(server: servers.Server) -> psutil.Process:
    for each in psutil.Process(server.child.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "redis-server" in each.name():
                return each
    raise AssertionError("there is no redis-server")


def test_what_is_served_is_what_was_trained(ana, env, data, tmp_path):
    model = Model.model_validate_json((data / "churn-model.json").read_bytes())
    dataset = ana.get_dataset(model.dataset)
    assert model.manifest_hash == dataset.manifest_hash
    assert dataset.verify()["verdict"] == "equal"
    assert model.accuracy > model.always_the_more_frequent
    everybody = pq.read_table(data / "subscriptions.parquet")["customer_id"].unique().to_pylist()
    customers = [*everybody, 999_999]

    with serving(env, tmp_path / "churn.log") as address:
        trained, answer = until(lambda: _both(ana, model, customers, address))

    assert answer["manifest_hash"] == model.manifest_hash and answer["fallback"] is None
    told = answer["predictions"]
    assert [each["chance"] for each in told] == [each.chance for each in trained]
    assert [each["filled"] for each in told] == [each.filled for each in trained]
    assert {each["basis"] for each in told} == {"features"}
    nobody = {name: feature["status"] for name, feature in told[-1]["features"].items()}
    # What is computed of nothing is null.
    assert nobody.pop("price_after") == nobody.pop("days_with_us") == "NULL_VALUE"
    assert set(nobody.values()) == {"NOT_FOUND"}
    assert len({each["chance"] for each in told}) > CUSTOMERS / 2


def _both(store: FeatureStore, model: Model, customers: list[int], address: str) -> Any:
    """Give predictions over training rows as of now and the service's, of one and the same tick."""
    ticks = lambda: [(r["id"], r["status"]) for r in store.runs(limit=5)]  # noqa: E731
    before = ticks()
    now = datetime.now(UTC)
    instants = pa.array([now] * len(customers), pa.timestamp("us", tz="UTC"))
    frame = pa.table({"customer_id": pa.array(customers), "event_timestamp": instants})
    frame = frame.append_column("discount", pa.array([2.0] * len(customers)))
    rows = store.get_historical_features(frame, model.references).to_arrow().to_pylist()
    answer = predictions(address, customers)
    trained = [model.predict(row) for row in rows]
    is_same_day = now.date() == datetime.now(UTC).date()
    return (trained, answer) if is_same_day and before == ticks() else None


def test_without_redis_it_answers_the_base_rate_says_why_and_recovers(env, server, data, tmp_path):
    model = Model.model_validate_json((data / "churn-model.json").read_bytes())

    with serving(env, tmp_path / "churn.log") as address:
        redis = redis_of(server)
        redis.send_signal(signal.SIGSTOP)
        try:
            hanging = predictions(address, [1001, 1002])
            ready = asked(f"{address}/readyz")
        finally:
            redis.send_signal(signal.SIGCONT)
        until(lambda: predictions(address, [1001])["fallback"] is None)

        redis.kill()
        killed = until(lambda: _fallback(address))
        until(lambda: predictions(address, [1001])["fallback"] is None)

    assert hanging["fallback"]["code"] in ("server_unreachable", "unavailable")
    assert [(t["chance"], t["basis"]) for t in hanging["predictions"]] == [
        (model.base_rate, "base_rate")
    ] * 2
    assert (ready["status"], ready["reads_features"]) == ("ok", False)
    assert killed["code"] in ("redis_unreachable", "not_loaded", "server_unreachable")


def _fallback(address: str) -> Any:
    return predictions(address, [1001])["fallback"]


def test_it_does_not_start_with_another_model_than_the_served(env, data, tmp_path):
    model = json.loads((data / "churn-model.json").read_bytes())
    model["fingerprints"]["subscription@1.0.0"] = "sha256:of-another-definition"
    (tmp_path / "other.json").write_text(json.dumps(model))

    started = [sys.executable, "-m", "uvicorn", "--factory", "--port", str(servers.free_port())]
    done = subprocess.run(
        [*started, "examples.churn.service:from_environment"],
        env=env | {"CHURN_MODEL": str(tmp_path / "other.json")},
        cwd=servers.ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "subscription@1.0.0 computes" in done.stderr and "train again" in done.stderr
