"""``/metrics``: who may read it, what every process counted, and how things stand."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lib import metrics
from materialization.choices import AlertKind
from materialization.quality.alerts.opening import Trouble, about_version, raise_alert
from serving.online.watching import WATCH
from tests.environment import VARIABLES
from tests.factories import AT, DEFINITIONS, Cast, make_cast, make_version, token_for
from tests.materialization.run_world import ROWS, committed, materialize, write_rows
from tests.serving.online_world import ask
from tests.serving.search_world import post

pytestmark = pytest.mark.django_db
TOKEN = "a-token-of-a-monitor"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _folder(settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path / "offline"
    settings.METRICS_TOKEN = TOKEN


@pytest.fixture
def cast(db, sources) -> Cast:
    return make_cast(root=str(sources))


def _labels(labels: dict[str, str]) -> list[str]:
    return [labels[name] for name in sorted(labels) if name not in ("pid", "table")]


@pytest.fixture
def scraped(client):
    """Return what a monitor reads: ``(name, labels without pid) → value``."""

    def scrape() -> dict[tuple[str, ...], float]:
        WATCH.flush()
        response = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 200
        families = text_string_to_metric_families(response.text)
        return {
            (sample.name, *_labels(sample.labels)): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        (GOOD, 200),
    ],
)
def test_a_monitor_needs_the_token(client, cast, sent, status):
    response = client.get("/metrics", headers=sent)

    assert response.status_code == status
    if status == 401:
        assert response.json()["code"] == "metrics_token_wrong"
        assert b"assay_" not in response.content


@pytest.mark.parametrize("who", ["anonymous", "outsider", "owner", "superuser"])
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_without_it_only_superusers_read_it(as_, settings, who, token):
    settings.METRICS_TOKEN = token

    response = as_(who).get("/metrics")

    closed = 401 if token else 403
    assert response.status_code == (200 if who == "superuser" else closed)


def test_an_empty_token_opens_nothing(client, cast, settings):
    settings.METRICS_TOKEN = ""

    for sent in ("Bearer ", "Bearer", "Bearer x"):
        response = client.get("/metrics", headers={"Authorization": sent})
        assert (response.status_code, response.json()["code"]) == (403, "metrics_closed")


def test_runs_ages_alerts_tables_and_stores_are_there(cast, sources, scraped):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    with committed():
        version = make_version(cast, text=text)
    before = scraped()
    with committed():
        materialize(version)
    raise_alert(AlertKind.OVERDUE, about_version(version), Trouble("x"), at=AT)

    found = scraped()

    def grew(*key: str) -> float:
        return found[key] - before.get(key, 0)

    assert grew("assay_runs_total", "backfill", "succeeded") == 1
    assert grew("assay_run_seconds_count", "backfill", "succeeded") == 1
    assert grew("assay_run_rows_total", "backfill", "offline") == 4
    assert grew("assay_run_rows_total", "backfill", "online") == 3
    of_view = "driver_hourly@1.0.0", "rides"
    assert found["assay_freshness_promise_seconds", *of_view] == 7200
    assert found["assay_freshness_age_seconds", *of_view] > timedelta(days=1).total_seconds()
    assert found["assay_alerts_open", "overdue", "rides", "critical"] == 1
    assert found["assay_table_rows", "driver_hourly", "rides"] == 4
    assert found["assay_table_bytes", "driver_hourly", "rides"] > 500
    newest = found["assay_table_newest_event_seconds", "driver_hourly", "rides"]
    assert int(newest) == int((AT - timedelta(hours=4)).timestamp())
    assert found["assay_store_used_bytes", "online store"] > 0
    assert found["assay_queue_length", "runs"] >= 0
    assert found["assay_process_memory_bytes",] > 1 << 20


def test_online_reads_are_counted_by_status_and_what_they_find(cast, sources, client, scraped):
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast)
    with committed():
        materialize(version)
    token = token_for(cast.consumer)
    before = scraped()
    request = {"features": ["driver_hourly:conv_rate", "driver_hourly:acc_rate"]}
    request["entities"] = {"driver_id": [1003, 4711]}

    assert ask(client, token, request).status_code == 200
    assert ask(client, token, request | {"features": ["nothing:x"]}).status_code == 404
    assert post(client, token, {"feature": "nothing:x", "vector": [1]}).status_code == 404

    found = scraped()

    def grew(*key: str) -> float:
        return found.get(key, 0) - before.get(key, 0)

    assert grew("assay_online_read_seconds_count", "200") == 1
    assert grew("assay_online_read_seconds_count", "404") == 1
    assert grew("assay_search_seconds_count", "404") == 1
    of_view = "driver_hourly@1.0.0", "rides"
    # The rows are years old: past the TTL of two days.
    assert grew("assay_online_values_total", *of_view, "OUTSIDE_MAX_AGE") == 2
    assert grew("assay_online_values_total", *of_view, "NOT_FOUND") == 2
    values = [key for key in found if key[0] == "assay_online_values_total"]
    assert all("" not in key for key in values)
    assert grew("assay_online_plans_made_total", "rides") == 1
    assert (found["assay_usage_waiting",] > 0, found["assay_usage_dropped",]) == (True, 0)


def test_what_another_process_counted_is_added_and_stays_when_it_ends(cast, scraped):
    before = scraped().get(("assay_runs_total", "reload", "failed"), 0)
    code = (
        f"import os; os.environ.update({VARIABLES!r}); import django; django.setup()\n"
        "from materialization.metrics import RUNS\n"
        "RUNS.labels('reload', 'failed').inc(3)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))

    assert scraped()["assay_runs_total", "reload", "failed"] - before == 6


def test_a_process_that_was_forked_counts_for_itself(cast, scraped):
    from materialization.metrics import RUNS

    RUNS.labels("again", "failed").inc()
    before = scraped()["assay_runs_total", "again", "failed"]

    def count() -> None:
        RUNS.labels("again", "failed").inc()

    child = multiprocessing.get_context("fork").Process(target=count)
    child.start()
    child.join()

    assert child.exitcode == 0
    assert scraped()["assay_runs_total", "again", "failed"] - before == 1


def test_a_disk_that_cannot_be_written_harms_nobody(monkeypatch, tmp_path, caplog):
    """Room is taken before the files are mapped: a page that cannot be had would end us."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(metrics, "FOLDER", tmp_path)
    monkeypatch.setattr(metrics.os, "posix_fallocate", full)
    identity = metrics._Identity()

    with metrics.unharmed():
        identity()

    assert "nothing is counted: [Errno 28] No space left on device" in caplog.text


def test_figures_that_cannot_be_had_are_left_out(cast, scraped, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    found = scraped()

    assert ("assay_store_used_bytes", "online store") not in found
    assert ("assay_usage_waiting",) not in found
    assert ("assay_process_memory_bytes",) in found
