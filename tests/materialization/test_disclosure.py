"""Values of the data in messages: shown to those who may read them, and to nobody else anywhere."""

from __future__ import annotations

import json
import logging

import pyarrow as pa
import pytest
from django.urls import reverse
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from materialization.compute.child import start_child
from materialization.compute.jobs import LookJob
from materialization.compute.limits import EngineLimits
from materialization.edges.looks import look_at_sources
from materialization.errors import EngineStopped
from materialization.models import MaterializationRun
from materialization.sources.inputs import SourceFiles
from registry.choices import State
from registry.models import AuditEntry
from registry.operations.lifecycle import submissions
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from tests.factories import AT, DEFINITIONS, VIEW, make_version, token_for
from tests.materialization.engine_cases import make_spec
from tests.materialization.run_world import ROWS, SCHEMA, committed, materialize, write_rows

pytestmark = pytest.mark.django_db

SECRET = "Xq7-Ada-Lovelace"
READERS = {"author", "consumer", "owner", "superuser"}
OTHERS = {"steward", "operator", "auditor"}
EVERYBODY = sorted(READERS | OTHERS)
TEXTS = SCHEMA.set(5, pa.field("avg_daily_trips", pa.string()))
SQL = (
    "sql: SELECT driver_id, event_timestamp, created, conv_rate, acc_rate, "
    "{} AS avg_daily_trips FROM driver_stats"
)


def view(*, sql: str = "", checks: str = "", kind: str = "int32") -> str:
    """Return the definitions with another trips feature."""
    changed = VIEW.replace("type: int32", f"type: {kind}{checks}")
    assert changed != VIEW or (kind, checks) == ("int32", "")
    return DEFINITIONS.replace(VIEW, f"{changed}\n{SQL.format(sql) if sql else ''}\n")


FAULTS = {
    "a value of another type": (view(), "source_value_invalid"),
    "a cast in sql": (view(sql="CAST(avg_daily_trips AS INT)"), "source_unreadable"),
    "a format in sql": (
        view(sql="CAST(strptime(avg_daily_trips, '%Y') IS NULL AS INT)"), "row_sql_failed",
    ),
    "a check of allowed values": (
        view(kind="string", checks=", checks: {allowed: [a]}"), "checks_failed",
    ),
}  # fmt: skip


@pytest.fixture(params=list(FAULTS))
def failed(request, cast, sources, caplog) -> MaterializationRun:
    """A run that failed on the secret; what was logged is in ``caplog``."""
    text, code = FAULTS[request.param]
    rows = [(*row[:4], SECRET) for row in ROWS]
    write_rows(sources, rows, TEXTS)
    with committed():
        version = make_version(cast, text=text)
    with caplog.at_level(logging.DEBUG):
        run = materialize(version)
    assert (run.status, run.error_code) == ("failed", code)
    return run


def get(who, cast, path):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token_for(getattr(cast, who))}")
    return client.get(f"/api/v1/projects/rides/{path}")


def test_a_failed_run_keeps_the_value_apart(failed, caplog):
    assert SECRET in failed.example
    assert SECRET not in failed.error
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_a_failed_run_shows_the_value_to_those_who_may_read_it(failed, cast, as_):
    page = reverse("admin:materialization_materializationrun_change", args=[failed.pk])
    for who in EVERYBODY:
        for path in (f"runs/{failed.pk}", "runs"):
            response = get(who, cast, path)
            assert response.status_code == 200
            assert (SECRET in response.content.decode()) is (who in READERS), (who, path)
        assert (SECRET in as_(who).get(page).text) is (who in READERS), who
    listed = reverse("admin:materialization_materializationrun_changelist")
    assert SECRET not in as_("owner").get(listed).text
    assert f"Run {failed.pk}" not in as_("operator").get(listed, {"q": SECRET}).text


def test_a_right_on_the_view_alone_shows_it_too(failed, cast):
    assign_perm("read_offline", cast.operator, failed.version.feature_view)

    assert SECRET in get("operator", cast, f"runs/{failed.pk}").content.decode()


def test_what_nobody_foresaw_is_told_without_its_words(cast, version, settings, caplog):
    """Its text may quote anything: only the example and the traceback have it."""
    settings.SOURCE_SETTLE_SECONDS = type(SECRET, (), {})()

    with caplog.at_level(logging.DEBUG):
        run = materialize(version)

    assert (run.status, run.error_code) == ("errored", "unexpected")
    assert "unexpected TypeError" in run.error
    assert "runner/looking.py" in caplog.text
    for words in (
        run.error,
        caplog.text,
        json.dumps(list(AuditEntry.objects.values()), default=str),
    ):
        assert SECRET not in words
    assert SECRET in run.example
    assert SECRET in run.traceback


def test_a_process_that_dies_is_logged_by_place_and_kind(tmp_path, caplog):
    limits = EngineLimits(memory_limit_mb="much")
    source = SourceFiles((str(tmp_path / "a.parquet"),), "parquet")

    job = LookJob((make_spec(),), source)
    with start_child(job, limits) as child, pytest.raises(EngineStopped):
        child.report()

    assert "ValidationError" in caplog.text
    assert "sandbox/main.py" in caplog.text
    assert "Expected" not in caplog.text


def test_least_and_greatest_values_are_for_those_who_may_read_them(cast, version):
    run = materialize(version)
    assert run.status == "succeeded"

    for who in EVERYBODY:
        columns = get(who, cast, f"runs/{run.pk}").json()["profile"]["columns"]
        assert all(("max" in column) is (who in READERS) for column in columns), who
        assert all("nulls" in column for column in columns)


def plan(who, cast, text):
    with pytest.raises(InvalidDefinitions) as caught:
        apply_definitions(
            parse_files([("f.yaml", text)]), project=cast.project, actor=getattr(cast, who),
            at=AT, look=look_at_sources, dry_run=True,
        )  # fmt: skip
    return caught.value


@pytest.mark.parametrize("fault", ["a value of another type", "a cast in sql"])
@pytest.mark.parametrize("who", EVERYBODY)
def test_a_plan_shows_the_value_to_those_who_may_read_it(cast, sources, who, fault):
    """Whoever writes definitions has a role that reads, but for rights given one by one."""
    write_rows(sources, [(*row[:4], SECRET) for row in ROWS], TEXTS)
    for right in ("add_featureview", "plan_featureview"):
        assign_perm(right, getattr(cast, who), cast.project)

    refused = plan(who, cast, FAULTS[fault][0])

    assert SECRET not in refused.message
    assert SECRET not in json.dumps([problem.message for problem in refused.problems])
    assert (SECRET in json.dumps(refused.data)) is (who in READERS)


def test_a_key_that_cannot_be_cast_is_not_told_by_a_plan(cast, sources):
    keys = SCHEMA.set(0, pa.field("driver_id", pa.string()))
    write_rows(sources, [(SECRET, *row[1:]) for row in ROWS], keys)
    for right in ("add_featureview", "plan_featureview"):
        assign_perm(right, cast.steward, cast.project)

    assert SECRET in json.dumps(plan("author", cast, DEFINITIONS).data)
    assert SECRET not in json.dumps(plan("steward", cast, DEFINITIONS).data)


@pytest.mark.parametrize(("who", "shown"), [("author", True), ("steward", False)])
def test_a_submission_shows_the_value_to_those_who_may_read_it(cast, sources, who, shown):
    draft = make_version(cast, state=State.DRAFT)
    write_rows(sources, [(*row[:4], SECRET) for row in ROWS], TEXTS)
    for right in ("add_featureview", "change_featureview"):
        assign_perm(right, cast.steward, cast.project)

    with pytest.raises(submissions.SourceProblems) as caught:
        submissions.submit_version(
            version=draft, actor=getattr(cast, who), at=AT, look=look_at_sources
        )

    assert SECRET not in caught.value.message
    assert (SECRET in json.dumps(caught.value.data)) is shown
