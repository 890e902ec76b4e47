"""A token for certain views is told of these in every list and search, and of nothing else."""

from __future__ import annotations

import pytest
from django.utils import timezone

from materialization.models import Alert, Certificate, MaterializationRun
from registry.choices import State
from registry.operations.people.tokens import Limits, issue_token
from registry.operations.questions import ask_question
from tests.factories import AT, ENTITY, SOURCE, VIEW, apply, make_version, view_of

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/rides"
#: A second view of other things, and services that read one of the views or both.
OTHER = "\n---\n".join(
    (
        ENTITY.replace("name: driver", "name: secret_rider").replace("driver_id", "rider_id"),
        SOURCE.replace("name: driver_stats", "name: secret_source"),
        VIEW.replace("driver_hourly", "secret")
        .replace("[driver]", "[secret_rider]")
        .replace("source: driver_stats", "source: secret_source")
        .replace("conv_rate", "secret_rate"),
    )
)
SERVICES = """
kind: FeatureService
name: told
features: ["driver_hourly:conv_rate"]
---
kind: FeatureService
name: both
features: ["driver_hourly:conv_rate", "secret:secret_rate"]
"""
LISTS = (
    "entities", "data-sources", "feature-views", "feature-services", "features", "features?q=rate",
    "runs", "alerts", "certificates", "questions", "reviews", "lineage/feature-view/driver_hourly",
)  # fmt: skip


@pytest.fixture
def narrow(api, cast):
    """A client whose token is for one of two views, of each of which there is something of all."""
    for text in ({}, {"text": OTHER}):
        version = make_version(cast, **text)
        run = MaterializationRun.objects.create(
            version=version, table=version.table, requested_at=AT, enqueued_at=AT, window_end=AT,
            kind="backfill", status="failed", finished_at=AT,
        )  # fmt: skip
        Alert.objects.create(
            kind="blocked", severity="critical", project=cast.project, subject=str(version),
            version=version, run=run, words="x", opened_at=AT, last_seen_at=AT,
        )  # fmt: skip
        Certificate.objects.create(
            table=version.table, version=version, kind="online", status="equal", requested_at=AT,
            enqueued_at=AT,
        )  # fmt: skip
        feature = version.spec.features[0].name
        ask_question(
            feature_view=version.feature_view, feature=feature, text="Why?", actor=cast.consumer,
            at=AT,
        )  # fmt: skip
    apply(SERVICES, cast)
    for name in ("driver_hourly", "secret"):
        text = VIEW if name == "driver_hourly" else OTHER
        make_version(cast, state=State.IN_REVIEW, text=text.replace("2d", "3d"))
    _, text = issue_token(
        user=cast.author, actor=cast.author, at=timezone.now(), name="t", project=cast.project,
        limits=Limits(views=[view_of(cast).name]), is_logged_in=True,
    )  # fmt: skip
    return api(token=text)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_what_the_token_is_for_and_nothing_else(narrow, api, cast, path):
    answer = narrow.get(f"{BASE}/{path}")

    assert answer.status_code == 200
    assert "secret" not in answer.content.decode()
    assert len(answer.json()["results"]) > 0
    if not path.startswith("lineage"):
        assert "secret" in api(cast.author).get(f"{BASE}/{path}").content.decode()


@pytest.mark.parametrize(
    "path",
    ["entities/secret_rider", "data-sources/secret_source", "feature-services/both",
     "feature-views/secret", "features/secret:secret_rate", "lineage/feature-view/secret",
     "lineage/data-source/secret_source"],
)  # fmt: skip
def test_one_thing_of_another_view_is_not_told_either(narrow, path):
    assert narrow.get(f"{BASE}/{path}").status_code in (403, 404)
