"""Profiles over HTTP: who sees which of it, who may set a baseline, what is refused."""

from __future__ import annotations

import pytest
from guardian.shortcuts import assign_perm

from materialization.disclosure import VALUES
from materialization.models import Baseline
from registry.models import AuditEntry
from tests.materialization.api.test_runs import call, refusal
from tests.materialization.quality.test_drift_of_runs import OTHER, World
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]
VERSION = "feature-views/driver_hourly/versions/1.0.0"
READERS = {"author", "consumer", "owner", "superuser"}
DECIDERS = {"steward", "owner", "superuser"}
EVERYBODY = sorted({*READERS, *DECIDERS, "operator", "auditor", "anonymous", "outsider"})


@pytest.fixture
def world(cast, sources):
    made = World(cast, sources, "ks: 0.3")
    made.run()
    made.drifted = made.run(OTHER)
    return made


@walk("who", EVERYBODY)
def test_counts_and_drift_are_shown_to_all_and_values_to_those_who_may_read_them(call, world, who):
    response = call(who, "get", f"{VERSION}/profile")

    if who in ("anonymous", "outsider"):
        assert response.status_code == refusal(who)
        return
    said = response.json()
    shown = [said["profile"]["columns"][0], said["baseline"]["profile"]["columns"][0]]
    for column in shown:
        assert {key for key in VALUES if key in column} == (
            set(VALUES) if who in READERS else set()
        )
    first, latest = said["runs"]
    assert (said["profile"]["rows"], first["rows"], latest["rows"]) == (260, 200, 60)
    assert latest["features"]["conv_rate"]["drift"]["baseline"]["ks"] > 0.8
    assert ("quantiles" in latest["features"]["conv_rate"]) == (who in READERS)
    assert said["baseline"]["set_by"] == "approval"
    assert said["baseline"]["approved_by"] == ["steward"]
    run = call(who, "get", f"runs/{world.drifted.pk}").json()
    assert ("marks" in run["profile"]["columns"][0]) == (who in READERS)


def test_one_feature_of_so_many_runs_can_be_asked_for(call, world):
    said = call("consumer", "get", f"{VERSION}/profile?feature=acc_rate&runs=1").json()

    assert [column["name"] for column in said["profile"]["columns"]] == ["acc_rate"]
    assert [list(run["features"]) for run in said["runs"]] == [["acc_rate"]]
    for query, status, code in (
        ("feature=acc_rat", 404, "feature_not_found"),
        ("runs=0", 422, "invalid_count"),
        ("runs=101", 422, "invalid_count"),
        ("run=1", 422, "unknown_parameter"),
    ):
        response = call("consumer", "get", f"{VERSION}/profile?{query}")
        assert (response.status_code, response.json()["code"]) == (status, code)


@walk("who", EVERYBODY)
def test_who_may_set_a_baseline(call, world, who):
    body = {"first_run": world.drifted.pk, "last_run": world.drifted.pk, "reason": "new prices"}

    response = call(who, "post", f"{VERSION}/baseline", body)

    assert response.status_code == (200 if who in DECIDERS else refusal(who))
    assert Baseline.objects.count() == (2 if who in DECIDERS else 1)
    trail = AuditEntry.objects.filter(verb="baseline.set")
    assert [entry.actor.username for entry in trail] == ([who] if who in DECIDERS else [])
    if who in DECIDERS:
        assert response.json()["set_by"] == who


def test_a_right_on_the_view_alone_is_enough(call, world, cast):
    assign_perm("approve_featureview", cast.consumer, world.version.feature_view)
    body = {"first_run": world.drifted.pk, "last_run": world.drifted.pk, "reason": "new prices"}

    assert call("consumer", "post", f"{VERSION}/baseline", body).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"first_run": 0}, "invalid_runs"),
        ({"last_run": True}, "invalid_runs"),
        ({"last_run": 2**80}, "invalid_runs"),
        ({"first_run": 10**9, "last_run": 10**9}, "no_such_runs"),
        ({"reason": " "}, "reason_missing"),
        ({"reason": "x" * 2001}, "reason_missing"),
        ({"reason": "new\x00prices"}, "reason_missing"),
        ({"reason": ["x"]}, "reason_missing"),
    ],
)
def test_what_is_no_baseline_is_refused_in_words(call, world, change, code):
    runs = {"first_run": world.drifted.pk, "last_run": world.drifted.pk}

    response = call("owner", "post", f"{VERSION}/baseline", {**runs, "reason": "r", **change})

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert Baseline.objects.count() == 1
