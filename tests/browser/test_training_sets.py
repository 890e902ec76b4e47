"""Training sets that a worker makes, where people look: seen, cancelled, downloaded; and by axe."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from playwright.sync_api import expect

from assay import FeatureStore
from assay import errors as client_errors
from assay.cli.app import main
from tests.browser.test_accessibility import looked_at
from tests.factories import token_for
from tests.serving import datasets_world
from tests.serving.historical_world import stored_view
from tests.serving.jobs_world import make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
FEATURES = ["driver_hourly:avg_daily_trips"]
LIST = "/admin/serving/historicaljob/"
FRAME = {"driver_id": [1001, 5, 1001], "event_timestamp": ["2026-03-01T14:00:00Z"] * 3}


@pytest.fixture
def stored(cast):
    stored_view(cast, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 7}], at=NOON)


@pytest.fixture
def store(served, cast, stored, monkeypatch):
    """The consumer's, as the command line finds it too."""
    monkeypatch.setenv("ASSAY_URL", served)
    monkeypatch.setenv("ASSAY_TOKEN", token_for(cast.consumer))
    monkeypatch.setenv("ASSAY_PROJECT", "rides")
    with FeatureStore() as store:
        yield store


def test_a_large_answer_is_a_job_that_is_cancelled_and_another_that_is_downloaded(
    login, store, settings, tmp_path
):
    settings.HISTORICAL_MAX_ROWS = 2
    frame = pa.table({"driver_id": [1001, 5, 1001], "event_timestamp": [NOON] * 3})
    with pytest.raises(client_errors.AssayError, match="job"):
        store.get_historical_features(frame, FEATURES).to_arrow()
    unwanted, kept = (store.request_historical_features(frame, FEATURES) for _ in range(2))

    page = login("consumer")
    page.goto(LIST)
    rows = page.locator("#result_list tr.data-row")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("waits for a worker")
    page.get_by_role("link", name=f"historical job {unwanted.id}").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("was cancelled").first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)

    make(kept.id, NOW)
    page.goto(f"{LIST}{kept.id}/change/")
    expect(page.get_by_text("3 rows, to be downloaded until it expires")).to_be_visible()
    expect(page.get_by_text("gave nothing to 1 of 3 rows")).to_have_count(0)
    said = page.get_by_text("assay historical-jobs download").inner_text()
    command = said.partition("or assay ")[2].replace("rows.parquet", str(tmp_path / "r.parquet"))
    assert main(command.split()) == 0
    assert pq.read_table(tmp_path / "r.parquet")["avg_daily_trips"].to_pylist() == [7, None, 7]

    for url in (LIST, f"{LIST}{unwanted.id}/change/", f"{LIST}{kept.id}/change/"):
        for look, found in looked_at(page, url):
            assert found == [], look


#: What of a page ends beyond the edge of the card that it is in.
OVER = """() => [...document.querySelectorAll('.as-card *')].filter(each =>
  each.getClientRects().length && !each.closest('.as-scroll') &&
  each.getBoundingClientRect().right > each.closest('.as-card').getBoundingClientRect().right + 1
).map(each => each.outerHTML.slice(0, 100))"""


def test_axe_finds_nothing_where_a_dataset_is(login, cast, stored):
    caller = datasets_world.Caller(Client(), cast.consumer)
    caller.post(body={"name": "churn", "features": FEATURES, "entities": FRAME})
    made = datasets_world.make(NOW)
    made.request |= {"feature_service": "everything"}  # the widest word of its card
    made.save(update_fields=["request"])
    page, listed = login("owner"), "/admin/serving/dataset/"

    assert made.status == "done"
    page.goto(f"{listed}{made.pk}/change/")
    for width in (1440, 1200, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVER) == [], width
    for url in (listed, f"{listed}{made.pk}/change/"):
        for look, found in looked_at(page, url):
            assert found == [], look
