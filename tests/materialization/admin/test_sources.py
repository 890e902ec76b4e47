"""What a source page shows of reading it: freshness, files in pages, rows by the reader's right."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from materialization.ingest.targets import targets_of_source
from materialization.models import SourcePart
from materialization.quality.freshness import freshness_of
from materialization.runner.draining import drain_logs
from registry import access, audit
from registry.choices import State
from registry.models import DataSource
from tests.factories import AT, DEFINITIONS, approve, make_version
from tests.materialization.ingest.push_world import ready
from tests.materialization.ingest.test_push_schedules import push
from tests.materialization.run_world import ROWS, committed, fresh, materialize, write_rows
from tests.materialization.runner.test_assaying import assayed

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(cast, sources):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    with committed():
        made = make_version(cast, state=State.IN_REVIEW, text=text)
    assayed(made)
    with committed():
        approve(made, cast.steward)
        materialize(made)
    return fresh(made)


def page(client, **query) -> str:
    source = DataSource.objects.get()
    url = reverse("admin:registry_datasource_change", args=[source.pk])
    return " ".join(client.get(url, query).text.split())


@pytest.mark.parametrize(
    ("who", "files", "rows"),
    [
        ("consumer", True, True),
        ("author", True, True),
        ("operator", True, False),
        ("auditor", False, False),
        ("superuser", True, True),
    ],
)
def test_files_and_rows_are_shown_to_those_who_may_have_them(as_, version, who, files, rows):
    text = page(as_(who))

    assert ("Files that were read" in text) is files
    assert ("Sample rows" in text) is rows
    assert ("1003" in text) is rows
    assert "covered until" in text.lower()
    assert "2h <span" in text  # its promise, long past


def test_sensitive_values_are_withheld_from_a_sample(as_, cast, sources):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("type: float32}", "type: float32, sensitivity: confidential}", 1)
    with committed():
        made = make_version(cast, state=State.IN_REVIEW, text=text)
    assayed(made)

    said = page(as_("consumer"))

    assert "Withheld, for want of a grant: acc_rate." in said
    assert "Sample rows" in said


def test_files_come_in_pages(as_, version):
    table = version.table
    SourcePart.objects.bulk_create(
        SourcePart(table=table, name=f"f{n:03}.parquet", identity="x", read_until=AT,
                   has_later=False)
        for n in range(60)
    )  # fmt: skip
    client = as_("author")

    first, last = page(client), page(client, files="3")

    assert "f000.parquet" in first
    assert "f059.parquet" not in first
    assert "f059.parquet" in last
    assert "f000.parquet" in page(client, files="x")


def test_rows_that_arrive_are_shown_while_they_wait(as_, cast, online_redis, settings):
    version = ready(cast)
    client = as_("operator")

    def told() -> str:
        return re.sub(r"<[^>]+>", " ", page(client)).partition("Rows that wait")[2][:700]

    assert "last_trip@1.0.0 0 0 nothing waits nothing yet 0" in " ".join(told().split())
    (target,) = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    now = timezone.now()
    for ahead in (-timedelta(minutes=2), -timedelta(minutes=1), timedelta(hours=1)):
        rows = [{"driver_id": n, "event_timestamp": now + ahead, "fare": 1.0} for n in (1, 2)]
        push(target, rows, now - timedelta(minutes=2))
    for more, verb, label in ((7, "refused", f"{version}"), (5, "refused", "other@1.0.0")):
        after = {"more": more}
        audit.record(
            after=after, at=now, actor=cast.owner, verb=f"rows.{verb}", subject=None,
            project=cast.project, label=label,
        )  # fmt: skip

    said = " ".join(told().split())
    assert re.search(r"last_trip@1\.0\.0 6 3 20\S+ \S+ UTC overdue nothing yet 4 ", said), said
    assert "0 rows taken, 7 refused" in said
    assert re.search(r"In the trail since 20\S+ \S+ UTC ?:", said), said
    drain_logs()
    said = " ".join(told().split())
    assert re.search(r"last_trip@1\.0\.0 0 0 nothing waits 20\S+ \S+ UTC 6 rows 4 ", said), said
    settings.REDIS_URL = "unix:///nowhere.sock"
    assert "Redis does not answer" in told()
    assert "Known since</dt><dd>it came</dd>" in page(client)
    assert "Files that were read" not in page(client)
    (stands,) = freshness_of([version], at=now + timedelta(days=3)).values()
    assert stands.age == timedelta(0)  # what came is there, whenever a run made it ready
    type(version).objects.filter(pk=version.pk).update(state=State.RETIRED)
    assert "7 refused" in told()  # what was sent for it was sent all the same
    assert "Rows that wait" not in page(as_("auditor"))
