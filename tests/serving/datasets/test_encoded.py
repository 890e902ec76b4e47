"""Datasets of encoded features: what they were fitted to is in the manifest, and is checked."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.test import Client

from registry.models import Fitting
from registry.operations.lifecycle.releases import mark_table_ready
from serving.datasets import manifest
from serving.datasets.comparing import differences
from serving.datasets.disclosure import without_hashes
from serving.models import Dataset
from tests import factories
from tests.materialization.run_world import AT, HOUR, ROWS, committed, materialize, write_rows
from tests.materialization.test_encodings import VIEW, approve, submit
from tests.serving.datasets_world import Caller, make, verify

pytestmark = pytest.mark.django_db

ASKED = {
    "name": "churn",
    "features": ["driver_hourly:trips"],
    "entities": {"driver_id": [1001], "event_timestamp": [AT.isoformat()]},
}


@pytest.fixture
def cast(db, settings, sources, tmp_path):
    settings.OFFLINE_STORE = tmp_path / "offline"
    return factories.make_cast(root=str(sources))


@pytest.fixture
def version(cast, sources):
    write_rows(sources, ROWS)
    text = VIEW.replace(
        "type: float64, sensitivity: internal", "type: float64, sensitivity: restricted"
    )
    version = approve(cast, submit(cast, text))
    with committed():
        factories.approve(version, cast.second_steward)
    version.refresh_from_db()
    assert materialize(version).status == "succeeded"
    with committed():
        mark_table_ready(table=version.table, at=AT, kept_for=None)
        factories.give_grant(cast, cast.consumer, view="driver_hourly")
    return version


@pytest.fixture
def caller(cast, version):
    caller = Caller(Client(), cast.consumer)
    asked = caller.post(body=ASKED)
    assert asked.status_code == 202, asked.content
    assert make(AT + HOUR).status == "done", Dataset.objects.get().error
    return caller


def parameters_told(caller):
    said = caller.get("/churn/1/manifest").json()
    (view,) = said["manifest"]["views"]
    return said["parameters"], view["parameters_sha256"]


def test_the_manifest_proves_what_its_features_were_fitted_to(caller, version):
    kept = Fitting.objects.get(identity=version.spec.fittings["trips"])
    nonce = Dataset.objects.get().manifest["nonce"]
    proof = hashlib.sha256(f"{nonce}\n{kept.parameters}".encode()).hexdigest()

    assert parameters_told(caller) == ([{"trips": kept.parameters}], {"trips": proof})
    assert json.loads(kept.parameters)[0]["mean"] == 17.75
    assert verify(caller, AT + 2 * HOUR)["verdict"] == "equal"


def test_it_is_withheld_from_those_who_may_not_read_the_values(caller, cast):
    assert parameters_told(Caller(Client(), cast.auditor)) == (None, {"trips": None})


def test_a_dataset_that_is_ended_has_none_of_its_values(caller, version):
    kept = Fitting.objects.get(identity=version.spec.fittings["trips"])
    before = caller.get("/churn/1/manifest").json()["manifest"]
    with committed():
        assert caller.post("/churn/1/end", body={"reason": "Of nobody"}).status_code == 200

    told, proof = parameters_told(caller)

    assert (told, list(proof)) == (None, ["trips"])
    ended = Dataset.objects.get()
    assert ended.manifest == before
    columns = Dataset.objects.values().get()
    for value in (kept.parameters, "17.75"):
        assert value not in str(columns)
        assert json.dumps(value)[1:-1] not in json.dumps(ended.manifest)


def test_two_that_were_fitted_otherwise_differ_in_it(caller, cast):
    kept = Dataset.objects.get().manifest
    (view,) = kept["views"]
    other = {**kept, "views": [{**view, "fittings": {"trips": "another"}}]}
    again = {**kept, "nonce": "another", "views": [{**view, "parameters_sha256": {"trips": "x"}}]}

    def compared(before, after):
        lines = {line.what: line for line in differences(before, after)}
        return lines["encoding of driver_hourly:trips"]

    assert compared(kept, again).is_equal
    assert not compared(kept, other).is_equal
    assert compared(*map(without_hashes, (kept, again))).is_equal  # a name that tells no value


def test_a_check_says_where_it_is_not_what_it_was(caller, monkeypatch):
    monkeypatch.setattr(manifest, "fitted_of", lambda _: {"trips": ({"mean": 1.0},)})

    check = verify(caller, AT + 2 * HOUR)

    assert check["verdict"] == "different"
    assert check["found"]["changed"] == [
        "what driver_hourly@1.0.0:trips is fitted to is not what it was"
    ]
