"""Runs and schedules in the admin: who sees, starts, cancels and changes what."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest
from django.urls import reverse

from materialization.admin.profile_table import profile_table
from materialization.models import MaterializationRun, MaterializationSchedule, StoredWindow
from registry.models import AuditEntry
from tests.factories import AT, make_ready, make_version

pytestmark = pytest.mark.django_db


def url(name: str, *args: object) -> str:
    return reverse(f"admin:materialization_{name}", args=args)


@pytest.fixture
def version(cast):
    return make_version(cast)


def make_run(version, **columns: object) -> MaterializationRun:
    shared = {"requested_at": AT, "enqueued_at": AT, "window_end": AT, "kind": "backfill"}
    return MaterializationRun.objects.create(
        version=version, table=version.table, **shared | columns
    )


@pytest.mark.parametrize(
    ("who", "starts"),
    [
        ("operator", True),
        ("steward", True),
        ("author", True),
        ("consumer", False),
        ("auditor", False),
    ],
)
def test_who_materializes_now(as_, version, who, starts):
    client = as_(who)
    page = client.get(reverse("admin:registry_featureviewversion_change", args=[version.pk])).text
    response = client.post(url("materialize", version.pk))

    assert ("Materialize now" in page) is starts
    assert MaterializationRun.objects.exists() is starts
    if starts:
        assert response.url == url("materializationrun_change", MaterializationRun.objects.get().pk)


def test_an_outsider_cannot_name_a_version_to_materialize(as_, version):
    assert as_("outsider").post(url("materialize", version.pk)).status_code == 404
    assert as_("operator").get(url("materialize", version.pk)).status_code == 405
    assert not MaterializationRun.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("operator", "cancelled"), ("consumer", "queued")])
def test_who_cancels_a_run(as_, version, who, status):
    run = make_run(version)

    offered = "Cancel" in as_(who).get(url("materializationrun_change", run.pk)).text
    as_(who).post(url("materializationrun_cancel", run.pk))

    run.refresh_from_db()
    assert (run.status, offered) == (status, status == "cancelled")


@pytest.mark.parametrize(("who", "may"), [("operator", True), ("consumer", False)])
def test_who_pauses_a_run_and_lets_it_go_on(as_, version, who, may):
    run = make_run(version)
    page = url("materializationrun_change", run.pk)

    assert (">Pause</button>" in as_(who).get(page).text.replace("</i>", ">")) is may
    as_(who).post(url("materializationrun_pause", run.pk))
    run.refresh_from_db()
    assert run.status == ("paused" if may else "queued")

    as_("operator").post(url("materializationrun_pause", run.pk))
    assert (">Go on</button>" in as_(who).get(page).text.replace("</i>", ">")) is may
    as_(who).post(url("materializationrun_resume", run.pk))
    run.refresh_from_db()
    assert run.status == ("queued" if may else "paused")


def test_a_page_shows_the_chunks_of_a_run(as_, version):
    first = {"until": "2026-01-01T00:00:00Z", "expected": 3000, "seconds": 1.5}
    first |= {"stored_at": "2026-03-01T12:00:00Z", "counts": {"rows_read": 3000, "rows_stored": 7}}
    chunks = [first, {"until": "2026-03-01T12:00:00Z", "expected": 1000}]
    run = make_run(version, status="running", step="reading", progress=0.6, chunks=chunks)

    page = as_("operator").get(url("materializationrun_change", run.pk)).text

    assert "of 2" in page
    assert "2,000" in page  # rows a second
    assert "4,000" in page  # rows expected
    assert "0 s left" in page


def test_a_run_that_is_over_cannot_be_cancelled(as_, version):
    run = make_run(version, status="succeeded", step="done")

    response = as_("operator").post(url("materializationrun_cancel", run.pk), follow=True)

    assert "has succeeded already" in response.text


def test_progress_is_told_of_the_runs_one_may_see(as_, version):
    run = make_run(version, status="running", step="reading", progress=0.25, rows_read=7)
    poll = f"{url('progress')}?ids={run.pk},999,x"

    told = as_("consumer").get(poll).json()
    assert told[str(run.pk)]["progress"] == 0.25
    assert list(told) == [str(run.pk)]
    assert as_("outsider").get(poll).json() == {}


@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "9" * 5000, "\u0663", "-1", "1.0", "%00"])
def test_progress_is_told_beside_numbers_no_run_can_have(as_, version, number):
    run = make_run(version)

    response = as_("consumer").get(f"{url('progress')}?ids={number},{run.pk}")

    assert (response.status_code, list(response.json())) == (200, [str(run.pk)])


def test_progress_is_told_of_so_many_runs_at_once(as_, version):
    run = make_run(version)
    many = ",".join(["0"] * 199)

    assert as_("consumer").get(f"{url('progress')}?ids={many},{run.pk}").json() != {}
    assert as_("consumer").get(f"{url('progress')}?ids=0,{many},{run.pk}").json() == {}


@pytest.mark.parametrize("parameter", ["status", "kind", "project"])
def test_a_list_filter_with_a_nul_is_a_bad_request(as_, version, parameter):
    make_run(version)
    page = url("materializationrun_changelist")

    assert as_("consumer").get(f"{page}?{parameter}=%00").status_code == 400


@pytest.mark.parametrize(
    "columns",
    [
        {
            "status": "failed",
            "step": "reading",
            "error": "<b>no</b>",
            "error_code": "checks_failed",
        },
        {"status": "errored", "step": "offline", "error": "boom", "traceback": "Traceback: boom"},
        {"status": "cancelled", "step": "queued"},
        {"kind": "reload", "status": "succeeded", "step": "done", "progress": 1.0},
        {"window_start": AT, "status": "running", "started_at": AT},
    ],
)
def test_every_kind_of_run_has_its_page(as_, version, columns):
    run = make_run(version, **columns)

    for who, tells in (("superuser", True), ("consumer", False)):
        page = as_(who).get(url("materializationrun_change", run.pk))
        assert page.status_code == 200
        assert "<b>no</b>" not in page.text
        assert ("Traceback: boom" in page.text) is (tells and "traceback" in columns)
    assert as_("consumer").get(url("materializationrun_changelist")).status_code == 200


@pytest.mark.parametrize(
    ("kind", "every", "enabled", "words"),
    [
        ("incremental", "1h", True, "starts by itself"),
        ("incremental", "1h", False, "Nothing retries it: mend the source"),
        ("incremental", "", True, "Nothing retries it: mend the source"),
        ("reload", "", True, "starts by itself"),
    ],
)
def test_a_failed_run_says_whether_anything_retries_it(as_, version, kind, every, enabled, words):
    columns = {"version": version, "every": every, "enabled": enabled, "updated_at": AT}
    MaterializationSchedule.objects.create(**columns)
    stored = make_run(version, status="succeeded", step="done")
    StoredWindow.objects.create(table=version.table, run=stored, window_end=AT)
    make_ready(version)
    run = make_run(version, kind=kind, status="failed", step="reading", error="no")
    page = url("materializationrun_change", run.pk)

    assert words in as_("operator").get(page).text
    assert "Materialize now" in as_("operator").get(page).text
    assert "Materialize now" not in as_("consumer").get(page).text


def test_a_failed_first_run_is_retried_without_a_rhythm_too(as_, version):
    MaterializationSchedule.objects.create(version=version, updated_at=AT)
    run = make_run(version, status="failed", step="reading", error="no")

    page = as_("consumer").get(url("materializationrun_change", run.pk)).text

    assert "starts by itself" in page


def test_a_failed_run_names_the_run_that_made_up_for_it(as_, version):
    failed = make_run(version, status="failed", step="reading", error="no")
    reload = make_run(version, status="succeeded", step="done", kind="reload")
    later = make_run(version, status="succeeded", step="done")
    assert reload.pk < later.pk
    StoredWindow.objects.create(table=version.table, run=later, window_end=AT)

    page = as_("operator").get(url("materializationrun_change", failed.pk)).text

    assert f"run {later.pk} of driver_hourly@1.0.0</a> has succeeded since." in page
    assert "Materialize now" not in page


def test_a_reload_makes_up_for_no_window(as_, version):
    failed = make_run(version, status="failed", step="reading", error="no")
    make_run(version, status="succeeded", step="done", kind="reload")

    page = as_("operator").get(url("materializationrun_change", failed.pk)).text

    assert "has succeeded since" not in page
    assert "Materialize now" in page


def test_a_run_that_was_refused_stored_nothing(as_, version):
    counts = {"parts": 1, "parts_read": 1, "rows_read": 40, "rows_stored": 40}
    run = make_run(version, status="failed", step="reading", source_counts=counts)

    page = " ".join(as_("operator").get(url("materializationrun_change", run.pk)).text.split())

    assert "<dt>Stored</dt><dd>0</dd>" in page
    assert "<dt>Not stored: the run ended before</dt><dd>40</dd>" in page


def test_a_run_shows_the_rows_of_the_source_beside_those_stored(as_, version):
    counts = {"parts": 3, "parts_read": 2, "parts_waiting": 1, "rows_read": 40, "rows_stored": 30}
    counts |= {
        "already_stored": 7,
        "repeated": 6,
        "late": 5,
        "dropped_null_key": 2,
        "dropped_null_time": 1,
    }
    run = make_run(version, status="succeeded", step="done", source_counts=counts)
    StoredWindow.objects.create(
        table=version.table, run=run, window_start=AT - timedelta(hours=1), window_end=AT
    )

    page = " ".join(as_("operator").get(url("materializationrun_change", run.pk)).text.split())

    assert "2 of 3 files read" in page
    assert "<dt>Stored before</dt><dd>7</dd>" in page
    assert "<dt>Left out: given twice</dt><dd>6</dd>" in page
    assert "1 file changed a moment before" in page
    assert "The version is not ready: of its history 1 part is not stored yet" in page


def test_copies_that_an_aggregation_counts_are_told_of_with_what_to_do(as_, version):
    counts = {"parts": 2, "parts_read": 2, "rows_read": 40, "copies": 1200, "of_ticks": True}
    run = make_run(version, status="succeeded", step="done", source_counts=counts)

    page = " ".join(as_("operator").get(url("materializationrun_change", run.pk)).text.split())

    assert "1,200 rows of the source are copies of others, equal in every column" in page
    assert "<code>assay backfill driver_hourly@1.0.0</code>" in page


def test_a_profile_leaves_out_what_says_nothing(version):
    shared = {"rows": 3, "nulls": 0, "nans": 0, "max": None}
    columns = [{"name": feature.name, "min": 1, **shared} for feature in version.spec.features]
    features = tuple(
        msgspec.structs.replace(feature, type="int64") for feature in version.spec.features
    )

    table = profile_table({"rows": 3, "columns": columns}, features)

    assert table["headers"] == ["Null", "Min"]
    assert table["rows"][0] == (features[0].name, ["0", "1"], "")


def test_a_profile_draws_the_shape_of_numbers_and_says_what_is_of_a_sample(version):
    name = version.spec.features[0].name
    column = {"name": name, "nulls": 0, "quantiles": {"0.5": 7.0}, "bars": [0, 1, 4]}
    profile = {"rows": 900, "sampled": 5, "columns": [column]}

    table = profile_table(profile, version.spec.features)

    ((_, values, shape),) = table["rows"]
    assert (table["headers"], values, table["sampled"]) == (["Null", "Median"], ["0", "7"], 5)
    assert re.findall('y="([0-9]+)" width="4" height="([0-9]+)"', shape) == [
        ("20", "0"),
        ("15", "5"),
        ("0", "20"),
    ]
    assert profile_table({**profile, "sampled": 900}, version.spec.features)["sampled"] == 0


@pytest.fixture
def schedule(version):
    return MaterializationSchedule.objects.create(version=version, every="1h", updated_at=AT)


@pytest.mark.parametrize(
    ("who", "changes"),
    [("steward", True), ("operator", True), ("author", False), ("consumer", False)],
)
def test_who_changes_a_schedule(as_, schedule, who, changes):
    post = {"every": "", "cron": "15 * * * *", "enabled": "on"}
    response = as_(who).post(url("materializationschedule_edit", schedule.pk), post)

    schedule.refresh_from_db()
    assert schedule.cron == ("15 * * * *" if changes else "")
    assert response.status_code == (302 if changes else 422)
    assert AuditEntry.objects.filter(verb="schedule.changed").exists() is changes


def test_a_schedule_is_paused_and_resumed(as_, schedule):
    for enabled in (False, True):
        as_("operator").post(url("materializationschedule_toggle", schedule.pk))
        schedule.refresh_from_db()
        assert (schedule.enabled, schedule.every) == (enabled, "1h")


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ({"every": "sometimes"}, "sometimes"),
        ({"cron": "99 * * * *"}, "99 * * * *"),
        ({"every": "1h", "cron": "15 * * * *"}, "not both"),
    ],
)
def test_a_schedule_nobody_could_follow_is_refused_with_words(as_, schedule, post, words):
    page = as_("operator").post(url("materializationschedule_edit", schedule.pk), post)

    assert page.status_code == 422
    assert words in page.text
    schedule.refresh_from_db()
    assert schedule.every == "1h"


def test_an_outdated_page_of_a_schedule_changes_nothing(as_, schedule):
    client, edit = as_("operator"), url("materializationschedule_edit", schedule.pk)
    page = client.get(url("materializationschedule_change", schedule.pk))
    form = page.context["form"]
    seen = {field.html_initial_name: field.value() for field in form}
    assert all(f'name="{name}"' in page.text for name in seen)
    assert client.post(edit, seen | {"every": "2h", "enabled": "on"}).status_code == 302

    response = client.post(edit, seen | {"every": "3h", "enabled": "on"})

    assert response.status_code == 409
    assert "every is &#x27;2h&#x27; now, not &#x27;1h&#x27;" in response.text
    schedule.refresh_from_db()
    assert schedule.every == "2h"


@pytest.mark.parametrize("field", ["every", "cron"])
def test_a_schedule_with_a_null_character_is_refused_beside_its_field(as_, schedule, field):
    page = as_("operator").post(url("materializationschedule_edit", schedule.pk), {field: "a\0b"})

    assert (page.status_code, "Null characters" in page.text) == (422, True)


def test_pages_show_schedules_and_freshness(as_, version, schedule):
    client = as_("consumer")
    view = reverse("admin:registry_featureview_change", args=[version.feature_view_id])

    assert "every 1h" in client.get(url("materializationschedule_changelist")).text
    assert client.get(url("materializationschedule_change", schedule.pk)).status_code == 200
    assert "Coverage and freshness" in client.get(view).text
