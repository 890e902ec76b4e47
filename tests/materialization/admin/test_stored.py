"""Stored data in the admin: who sees which tables, what each line says, what a dead store shows."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from materialization.admin.stored import kept_words
from materialization.models import TableSize, ViewBudget
from materialization.queries import table_at
from registry.choices import Role, State
from registry.models import FeatureTable
from registry.operations.lifecycle.releases import deprecate_version
from registry.operations.people import members, projects
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import parse_files
from tests.factories import AT, DEFINITIONS, VIEW, look, make_version
from tests.materialization.run_world import materialize, table_of
from tests.undoing import walk

pytestmark = pytest.mark.django_db

LIST = reverse("admin:registry_featuretable_changelist")
MEMBERS = ("owner", "author", "steward", "operator", "consumer", "auditor", "superuser")


def lines(client, query: str = "") -> list[str]:
    """Return the list's lines as text, each in one piece."""
    page = client.get(f"{LIST}{query}")
    assert page.status_code == 200
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page.text.partition("<tbody")[2], re.DOTALL)
    texts = (" ".join(strip_tags(row.replace("<", " <")).split()) for row in rows)
    return [text for text in texts if "driver" in text]


def log_of(version) -> Path:
    return Path(table_at(table_of(version)).uri) / "_delta_log"


def test_a_line_says_what_both_stores_hold_and_for_whom(as_, cast, version):
    materialize(version)
    deprecate_version(version=version, actor=cast.steward, at=AT)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("Conversion rate", "Won calls"))

    (line,) = lines(as_("consumer"))

    assert "1.0.1 in review 1.0.0 deprecated" in line
    assert "4 rows Delta version 1" in line
    assert line.count("2026-03-01 12:00:00 UTC") == 2  # covered until, ready since
    assert line.endswith("2 days")


def test_a_table_that_waits_for_its_first_run_says_so(as_, version):
    (line,) = lines(as_("consumer"))

    assert line.endswith("1.0.0 approved nothing yet – none – – not online")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda log: log.parent.rename(log.parent.with_name("elsewhere")), "missing"),
        (lambda log: [file.write_text("{") for file in log.glob("*.json")], "no answer"),
    ],
)
def test_a_store_that_cannot_tell_is_no_empty_table(as_, version, harm, words):
    materialize(version)
    harm(log_of(version))

    (line,) = lines(as_("consumer"))

    assert f"1.0.0 approved {words} – none 2026-03-01" in line
    assert "rows" not in line


@walk("who", [*MEMBERS, "outsider"])
def test_who_sees_which_tables(as_, cast, version, who):
    other = projects.create_project(name="other", actor=cast.outsider, at=AT)
    members.grant_role(
        project=other, user=cast.outsider, role=Role.AUTHOR, actor=cast.superuser, at=AT
    )
    files = parse_files([("a.yaml", DEFINITIONS.replace("driver_hourly", "driver_daily"))])
    apply_definitions(files, project=other, actor=cast.outsider, at=AT, look=look, submit=True)

    seen = " ".join(lines(as_(who)))

    assert ("driver_hourly" in seen) is (who in MEMBERS)
    assert ("driver_daily" in seen) is (who in ("outsider", "superuser"))


def test_a_line_leads_to_its_view_for_those_who_see_it(as_, version):
    page = reverse("admin:registry_featuretable_change", args=[version.table_id])
    view = reverse("admin:registry_featureview_change", args=[version.feature_view_id])

    assert as_("consumer").get(page).url == view
    assert f'href="{view}"' in as_("consumer").get(LIST).text
    assert as_("outsider").get(page).url == "/admin/"


def test_nothing_is_added_changed_or_removed_here(as_, version):
    client = as_("superuser")

    for name, args in (("add", []), ("delete", [version.table_id])):
        assert client.post(
            reverse(f"admin:registry_featuretable_{name}", args=args)
        ).status_code in (403, 405)
    delete = {"action": "delete_selected", "_selected_action": [version.table_id], "post": "yes"}
    client.post(LIST, delete)
    client.post(
        reverse("admin:registry_featuretable_change", args=[version.table_id]), {"uid": "x"}
    )
    version.table.refresh_from_db()
    assert version.table.uid != "x"


def test_more_tables_take_no_more_queries(as_, cast, version, django_assert_num_queries):
    client = as_("consumer")
    with CaptureQueriesContext(connection) as one:
        assert len(lines(client)) == 1
    for name in ("driver_weekly", "driver_yearly"):
        make_version(cast, text=VIEW.replace("driver_hourly", name))

    with django_assert_num_queries(len(one)):
        assert len(lines(client)) == 3


@pytest.mark.parametrize(
    ("kept_for", "words"),
    [
        (None, "for ever"),
        (timedelta(days=30), "30 days"),
        (timedelta(hours=36), "1 day, 12:00:00"),
        (timedelta(0), "not online"),
    ],
)
def test_how_long_rows_stay_online_in_words(kept_for, words):
    assert strip_tags(kept_words(kept_for)) == words


def test_a_line_says_what_the_table_takes_and_how_that_grows(as_, version):
    materialize(version)
    today, table = timezone.now().date(), table_of(version)
    for ago, size, keys in ((10, 1 << 20, None), (0, 11 << 20, 1234)):
        TableSize.objects.create(
            table=table,
            day=today - timedelta(days=ago),
            offline_bytes=size,
            online_keys=keys,
            online_bytes=keys and 2048,
        )

    (line,) = (text.replace("\xa0", " ") for text in lines(as_("consumer")))

    assert "11.0 MB offline 2.0 KB online, 1,234 keys +1.0 MB a day" in line


def has_grown(version) -> None:
    """Ten megabytes and a hundred keys in ten days."""
    today, table = timezone.now().date(), table_of(version)
    for ago, size in ((10, 30 << 20), (0, 40 << 20)):
        day = today - timedelta(days=ago)
        TableSize.objects.create(
            table=table, day=day, offline_bytes=size, online_keys=100, online_bytes=size // 1000
        )


def page_of(client, version) -> str:
    page = client.get(reverse("admin:registry_featureview_change", args=[version.feature_view_id]))
    return " ".join(strip_tags(page.text.replace("<", " <")).replace("\xa0", " ").split())


def post_budget(client, version, **sent):
    address = reverse("admin:materialization_budget", args=[version.feature_view_id])
    return client.post(address, sent, follow=True)


@pytest.mark.parametrize(
    ("who", "status", "done"),
    [("steward", 200, True), ("owner", 200, True), ("author", 200, False),
     ("consumer", 200, False), ("auditor", 200, False), ("outsider", 404, False),
     ("anonymous", 200, False)],
)  # fmt: skip
def test_who_may_set_a_budget_on_the_views_page(as_, cast, version, who, status, done):
    FeatureTable.objects.filter(pk=version.table_id).update(stored_version=1)
    has_grown(version)
    if who not in ("outsider", "anonymous"):
        assert ("Change the budget" in page_of(as_(who), version)) is done

    answer = post_budget(as_(who), version, disk_mb="45", online_keys="0", reason="a small disk")

    assert answer.status_code == status
    assert ViewBudget.objects.exists() is done
    if done:
        page, day = page_of(as_("consumer"), version), timezone.now().date() + timedelta(days=5)
        assert f"disk 40.0 MB +1.0 MB 45.0 MB 88 % {day}" in page
        assert "Online store, keys 100 keys +0 keys none –" in page
        assert f"Set by {who}" in page
        assert f"disk 88 % , {day}" in lines(as_("consumer"))[0]


@pytest.mark.parametrize(
    "sent",
    [{"disk_mb": "-1", "reason": "x"}, {"disk_mb": "1e9", "reason": "x"}, {"disk_mb": "5"},
     {"online_keys": "9" * 30, "reason": "x"}, {"memory_mb": "1", "reason": "a\x00b"}],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_in_words(as_, version, sent):
    answer = post_budget(as_("steward"), version, **sent)

    assert not ViewBudget.objects.exists()
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
