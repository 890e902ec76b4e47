"""Runs over HTTP: who may ask, watch and cancel, what is refused, what trace it leaves."""

from __future__ import annotations

import json

import pytest
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from materialization.api.runs import places_to_wait
from materialization.models import MaterializationRun
from registry.choices import State
from registry.models import AuditEntry
from tests.factories import VIEW, make_version, token_for, verbs_of
from tests.undoing import walk

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/rides"
START, END = "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"
MAY = {"operator", "steward", "author", "owner", "superuser"}
EVERYBODY = sorted({*MAY, "anonymous", "outsider", "consumer", "auditor"})


@pytest.fixture
def version(cast):
    return make_version(cast)


@pytest.fixture
def call(cast):
    """Send a request as one of the cast; gives the response."""

    def send(who: str, method: str, path: str, body: object = None):
        client = APIClient()
        if who != "anonymous":
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_for(getattr(cast, who))}")
        text = body if isinstance(body, str) else json.dumps(body)
        data = {} if body is None else {"data": text, "content_type": "application/json"}
        return getattr(client, method)(f"{BASE}/{path}", **data)

    return send


def refusal(who: str) -> int:
    return {"anonymous": 401, "outsider": 404}.get(who, 403)


def test_a_broker_that_takes_no_message_loses_none(
    call, version, online_redis, django_capture_on_commit_callbacks, caplog
):
    """The run is queued by its row; the sweep sends its number again."""
    online_redis.config_set("maxmemory", 1)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            response = call("operator", "post", "materialize-incremental", {"end_ts": END})
    finally:
        online_redis.config_set("maxmemory", 0)

    assert response.status_code == 202
    assert MaterializationRun.objects.get().status == "queued"
    assert "waking a worker for run" in caplog.text


@walk("who", EVERYBODY)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("materialize", {"start_ts": START, "end_ts": END}),
        ("materialize-incremental", {"end_ts": END, "feature_views": ["driver_hourly"]}),
    ],
)
def test_who_may_ask_for_runs(call, version, who, path, body):
    response = call(who, "post", path, body)

    assert response.status_code == (202 if who in MAY else refusal(who))
    assert MaterializationRun.objects.count() == (1 if who in MAY else 0)
    if who in MAY:
        run = MaterializationRun.objects.get()
        assert [found["id"] for found in response.json()["runs"]] == [run.pk]
        assert response.json()["runs"][0]["requested_by"] == who
        assert verbs_of(run) == ["requested"]
        assert AuditEntry.objects.get(verb="materialization_run.requested").actor.username == who


def test_without_any_version_who_may_not_is_still_refused(call, cast):
    body = {"end_ts": END}

    assert call("consumer", "post", "materialize-incremental", body).status_code == 403
    assert call("operator", "post", "materialize-incremental", body).json() == {"runs": []}


def test_the_right_on_one_view_is_enough_to_name_it(call, cast, version):
    assign_perm("materialize_featureview", cast.consumer, version.feature_view)
    body = {"end_ts": END, "feature_views": ["driver_hourly"]}

    assert call("consumer", "post", "materialize-incremental", body).status_code == 202
    assert call("consumer", "post", "materialize-incremental", {"end_ts": END}).status_code == 403


@pytest.mark.parametrize(
    ("path", "members", "waits"),
    [
        (path, members, waits)
        for call in ("materialize", "materialize-incremental")
        for path, members, waits in (
            (call, {}, False),
            (f"{call}?async=true", {"full_feature_names": False}, False),
            (f"{call}?async=false", {}, True),
            (call, {"full_feature_names": False}, True),
        )
    ]
    + [("materialize", {"disable_event_timestamp": False}, True)],
)
def test_callers_of_feasts_server_and_who_says_so_get_the_answer_when_all_is_done(
    call, cast, path, members, waits
):
    start = {} if "incremental" in path else {"start_ts": START}

    response = call("operator", "post", path, {**start, "end_ts": END, **members})

    # There is no version, so that nothing has to be done.
    assert (response.status_code, response.json()) == (200 if waits else 202, {"runs": []})


def test_runs_that_take_longer_than_anybody_waits_are_answered_as_they_are(call, version, settings):
    settings.MATERIALIZE_WAIT_SECONDS = 0

    response = call("operator", "post", "materialize-incremental?async=no", {"end_ts": END})

    assert response.status_code == 202
    assert response.json()["runs"][0]["status"] == "queued"


@pytest.mark.parametrize(("threads", "places"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_of_the_threads_of_a_process_half_wait_at_most(threads, places):
    there = places_to_wait(threads)

    assert [there.acquire(blocking=False) for _ in range(4)].count(True) == places


@pytest.mark.parametrize("said", ["perhaps", ""])
def test_async_is_true_or_false(call, version, said):
    response = call("operator", "post", f"materialize-incremental?async={said}", {"end_ts": END})

    assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")
    assert not MaterializationRun.objects.exists()


@walk("who", EVERYBODY)
def test_who_may_cancel_a_run(call, version, who):
    run_id = call("owner", "post", "materialize-incremental", {"end_ts": END}).json()["runs"][0]

    response = call(who, "post", f"runs/{run_id['id']}/cancel")

    assert response.status_code == (200 if who in MAY else refusal(who))
    run = MaterializationRun.objects.get()
    assert run.status == ("cancelled" if who in MAY else "queued")
    assert verbs_of(run) == ["requested", "cancelled"][: 2 if who in MAY else 1]
    if who in MAY:
        assert call(who, "post", f"runs/{run.pk}/cancel").status_code == 409


@walk("who", EVERYBODY)
def test_who_may_pause_a_run_and_let_it_go_on(call, version, who):
    call("owner", "post", "materialize-incremental", {"end_ts": END})
    run = MaterializationRun.objects.get()
    status = 200 if who in MAY else refusal(who)

    assert call(who, "post", f"runs/{run.pk}/pause").status_code == status
    run.refresh_from_db()
    assert run.status == ("paused" if who in MAY else "queued")
    call("owner", "post", f"runs/{run.pk}/pause")
    assert call(who, "post", f"runs/{run.pk}/resume").status_code == status

    run.refresh_from_db()
    assert run.status == ("queued" if who in MAY else "paused")
    trail = ["requested", "paused", "resumed"]
    assert verbs_of(run) == (trail if who in MAY else trail[:2])


def test_only_a_paused_run_goes_on(call, version):
    call("owner", "post", "materialize-incremental", {"end_ts": END})
    run = MaterializationRun.objects.get()

    assert call("owner", "post", f"runs/{run.pk}/resume").json()["code"] == "run_not_paused"
    call("owner", "post", f"runs/{run.pk}/cancel")
    assert call("owner", "post", f"runs/{run.pk}/pause").json()["code"] == "run_finished"
    assert call("owner", "post", "runs/4711/pause").status_code == 404


@walk("who", EVERYBODY)
def test_who_may_watch_runs(call, version, who):
    call("owner", "post", "materialize", {"start_ts": START, "end_ts": END})
    run = MaterializationRun.objects.get()

    one, every = call(who, "get", f"runs/{run.pk}"), call(who, "get", "runs")

    allowed = who not in ("anonymous", "outsider")
    assert {one.status_code, every.status_code} == {200 if allowed else refusal(who)}
    if allowed:
        assert every.json()["results"] == [one.json()]
        assert one.json()["status"] == "queued"
        assert one.json()["window_start"] == START
        assert one.json()["window_end"] == END


def test_runs_are_found_by_view_and_status(call, version):
    call("owner", "post", "materialize-incremental", {"end_ts": END})

    def count(query: str) -> int:
        return call("consumer", "get", f"runs?{query}").json()["count"]

    assert count("feature_view=driver_hourly&status=queued") == 1
    assert count("feature_view=driver_hourly@1.0.0") == 1
    other = call("consumer", "get", "runs?feature_view=driver_hourly@1.0.1")
    assert (other.status_code, other.json()["code"]) == (404, "version_not_found")
    assert (count("feature_view=other"), count("status=succeeded")) == (0, 0)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("status=suceeded", "Did you mean 'succeeded'?"),
        ("status=%00", "Valid: "),
        ("feature_view=%00", "holds a NUL"),
    ],
)
def test_a_filter_that_no_run_could_pass_is_refused(call, version, query, says):
    response = call("consumer", "get", f"runs?{query}")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")
    assert says in response.json()["detail"]


def test_a_run_nobody_asked_for_is_not_found(call, cast):
    assert call("consumer", "get", "runs/4711").json()["code"] == "run_not_found"
    assert call("operator", "post", "runs/4711/cancel").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "start_ts None"),
        ({"start_ts": START, "end_ts": "2020-02-30T00:00:00Z"}, 422, "2020-02-30"),
        ({"start_ts": START, "end_ts": 1577836800}, 422, "1577836800"),
        ({"start_ts": START, "end_ts": "9999-12-31T23:59:59-23:00"}, 422, "9999-12-31"),
        ({"start_ts": "0001-01-01T00:00:00+23:00", "end_ts": END}, 422, "0001-01-01"),
        ({"start_ts": START, "end_ts": "2999-01-01T00:00:00Z"}, 422, "in the future"),
        ({"start_ts": END, "end_ts": START}, 422, "is not before end"),
        ({"start_ts": START, "end_ts": END, "feature_views": "driver_hourly"}, 422, "list"),
        ({"start_ts": START, "end_ts": END, "feature_views": [{}]}, 422, "list of names"),
        ({"start_ts": START, "end_ts": END, "feature_views": ["drivers"]}, 404, "driver_hourly"),
        ([], 422, "JSON object"),
        ("{", 422, "not valid JSON"),
    ],
)
def test_bodies_that_cannot_be_meant_are_refused_with_words(call, version, body, status, words):
    response = call("operator", "post", "materialize", body)

    assert (response.status_code, words in response.json()["detail"]) == (status, True)
    assert not MaterializationRun.objects.exists()


def test_a_view_without_an_approved_version_is_said_to_be_so(call, cast):
    make_version(cast, state=State.IN_REVIEW)
    body = {"end_ts": END, "feature_views": ["driver_hourly"]}

    response = call("operator", "post", "materialize-incremental", body)

    assert (response.status_code, response.json()["code"]) == (409, "not_materializable")


def test_either_every_view_gets_its_run_or_none_does(call, cast, version):
    make_version(cast, text=VIEW.replace("driver_hourly", "another").replace("acc_rate", "a_rate"))
    call("owner", "post", "materialize", {"start_ts": START, "end_ts": END,
                                          "feature_views": ["driver_hourly"]})  # fmt: skip

    response = call("operator", "post", "materialize-incremental", {"end_ts": END})

    assert (response.status_code, response.json()["code"]) == (409, "run_in_progress")
    assert MaterializationRun.objects.count() == 1


@walk("who", EVERYBODY)
def test_who_may_have_a_version_computed_again(call, version, who):
    path = "feature-views/driver_hourly/versions/1.0.0/backfill"

    response = call(who, "post", path, {"start_ts": START, "end_ts": END})

    assert response.status_code == (202 if who in MAY else refusal(who))
    assert MaterializationRun.objects.count() == (1 if who in MAY else 0)
    if who in MAY:
        assert verbs_of(MaterializationRun.objects.get()) == ["requested"]
        assert call(who, "post", path, {"end_ts": START, "start_ts": END}).status_code == 422
        assert call(who, "post", path.replace("1.0.0", "9.0.0"), {}).status_code == 404
