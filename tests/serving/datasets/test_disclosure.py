"""Who is told what of a dataset: nothing that values could be tried out on, without a grant."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from registry.models import AuditEntry
from registry.operations.lifecycle.releases import mark_table_ready
from serving.datasets.disclosure import WHY_WITHHELD, without_hashes
from serving.datasets.manifest import hash_of
from serving.models import Dataset
from tests import factories
from tests.serving.datasets_world import Caller, make, verify
from tests.serving.historical_world import commit
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = {
    "name": "churn",
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]},
    "split": {"by": "random", "shares": {"train": 0.5, "test": 0.5}},
}
#: No grant; no right either; no grant but all rights.
OTHERS = ["author", "auditor", "superuser"]
DOORS = ["", "/churn/1", "/churn/1/manifest", "/churn/1/checks/{check}"]


@pytest.fixture
def version(cast):
    text = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
        factories.give_grant(cast, cast.consumer, view="driver_hourly")
    commit(version, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
    return version


@pytest.fixture
def check(client, cast, version):
    """A dataset of one row, made and checked by whoever has the grant."""
    caller = Caller(client, cast.consumer)
    assert caller.post(body=ASKED).status_code == 202
    assert make(timezone.now()).status == "done"
    found = verify(caller, timezone.now())
    assert found["verdict"] == "equal"
    return found["id"]


def hashes() -> set[str]:
    """All of the dataset that somebody could try values out on."""
    dataset = Dataset.objects.get()
    manifest = dataset.manifest
    files = [file for view in manifest["views"] for file in view["files"]]
    parts = manifest["split"]["parts"]
    told = {
        dataset.content_hash, manifest["nonce"], dataset.frame_sha256,
        manifest["rows"]["sha256"], manifest["frame"]["content_hash"],
        *(each["content_hash"] for each in parts), *(file["sha256"] for file in files),
    }  # fmt: skip
    assert len(told) == 7  # one of the two parts is all of it
    return told


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("path", DOORS)
def test_no_door_tells_those_a_hash_who_may_not_read_the_values(client, cast, check, path, who):
    response = Caller(client, getattr(cast, who)).get(path.format(check=check))

    assert response.status_code == 200
    said = response.content.decode()
    assert [each for each in hashes() if each in said] == []
    assert '"size":' not in said.replace('"size":null', "")


@pytest.mark.parametrize("who", OTHERS)
def test_nor_do_the_admin_the_lineage_and_the_trail(as_, client, cast, check, who):
    dataset = Dataset.objects.get()
    listed = reverse("admin:serving_dataset_changelist")
    browser = as_(who)
    page = browser.get(reverse("admin:serving_dataset_change", args=[dataset.pk]))
    token = factories.token_for(getattr(cast, who))
    lineage = Client().get(
        "/api/v1/projects/rides/lineage/dataset/churn@1",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert (page.status_code, lineage.status_code) == (200, 200)
    assert WHY_WITHHELD in page.content.decode()
    said = page.content.decode() + lineage.content.decode()
    said += json.dumps([entry.data for entry in AuditEntry.objects.all()])
    assert [each for each in hashes() if each in said] == []
    assert "churn@1" in browser.get(listed, {"q": dataset.manifest_hash}).content.decode()
    # A search that finds by it would be as good as telling it.
    assert "churn@1" not in browser.get(listed, {"q": dataset.content_hash}).content.decode()


def test_whoever_may_read_the_rows_is_told_all(client, cast, check):
    caller, dataset = Caller(client, cast.consumer), Dataset.objects.get()

    found, said = caller.get("/churn/1").json(), caller.get("/churn/1/manifest").json()

    assert (found["content_hash"], found["size"]) == (dataset.content_hash, dataset.size)
    assert (found["withheld"], said["withheld"]) == (None, None)
    assert hash_of(said["manifest"]) == said["manifest_hash"]
    assert found["last_check"]["found"]["content_hash"] == dataset.content_hash


def test_the_manifests_hash_cannot_be_tried_values_out_on(client, cast, check):
    """All but the nonce may be guessed: the hash stays another."""
    dataset = Dataset.objects.get()
    told = Caller(client, cast.author).get("/churn/1/manifest").json()

    assert told["withheld"] == WHY_WITHHELD
    assert told["manifest"] == without_hashes(dataset.manifest)
    guessed = {**dataset.manifest, "nonce": told["manifest"]["nonce"]}
    assert hash_of(guessed) != told["manifest_hash"]


def test_versions_are_not_called_equal_whose_hashes_are_withheld(as_, client, cast, check):
    Caller(client, cast.consumer).post(body=ASKED)
    second = make(timezone.now() + timedelta(seconds=1))
    url = reverse("admin:serving_dataset_change", args=[second.pk])

    page = as_("author").get(url, {"with": "1"}).content.decode()

    assert "content of the rows" in page
    assert "equal: withheld" not in page
    assert [each for each in hashes_of(second) if each in page] == []


def hashes_of(dataset: Dataset) -> list[str]:
    return [dataset.content_hash, dataset.manifest["frame"]["content_hash"]]
