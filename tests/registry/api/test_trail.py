"""The trail over HTTP: searched, and taken along as lines."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest

from registry import audit
from registry.choices import State
from registry.models import AuditEntry
from registry.operations.lifecycle import reviews
from registry.trail.export import cell
from tests.factories import AT, make_version, seen

pytestmark = pytest.mark.django_db

TRAIL = "/api/v1/projects/rides/audit"
EXPORT = f"{TRAIL}/export"
FORMULA = '=HYPERLINK("http://evil")'


@pytest.fixture
def trail(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(
        version=version, actor=cast.steward, at=AT + timedelta(days=1), comment=FORMULA,
        packet_hash=seen(version),
    )  # fmt: skip
    return version


def verbs(answer):
    assert answer.status_code == 200
    return [each["verb"].partition(".")[2] for each in answer.json()["results"]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"verb": "feature_view_version.rej"}, ["rejected"]),
        ({"actor": "steward"}, ["rejected"]),
        ({"q": "HYPERLINK"}, ["rejected"]),
        ({"since": "2026-03-02T00:00:00Z"}, ["rejected"]),
        ({"until": "2026-03-02", "verb": "feature_view_version."}, ["submitted", "drafted"]),
        ({"subject": "driver_hourly", "actor": "author"}, ["submitted", "drafted"]),
        ({"actor": "nobody"}, []),
    ],
)
def test_entries_are_found_by_who_what_when_and_words(api, cast, trail, asked, found):
    assert verbs(api(cast.auditor).get(TRAIL, asked)) == found


def test_entries_are_found_by_the_request_that_left_them(api, cast, trail):
    entry = AuditEntry.objects.get(verb="feature_view_version.rejected")

    answer = api(cast.auditor).get(TRAIL, {"request_id": str(entry.act_id)})

    [found] = answer.json()["results"]
    assert (found["request_id"], found["hash"]) == (str(entry.act_id), entry.hash)


@pytest.mark.parametrize(
    "asked", [{"since": "yesterday"}, {"request_id": "7"}, {"q": "a\0b"}, {"format": "xls"}]
)
def test_what_no_entry_can_have_is_refused_in_words(api, cast, asked):
    path = EXPORT if "format" in asked else TRAIL

    answer = api(cast.auditor).get(path, asked)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_filter")


@pytest.mark.parametrize(
    ("who", "status"),
    [("anonymous", 401), ("outsider", 404), ("consumer", 403), ("author", 403), ("auditor", 200)],
)
@pytest.mark.parametrize("path", [TRAIL, EXPORT])
def test_the_trail_is_for_who_may_read_it(api, cast, who, status, path):
    assert api(getattr(cast, who, None)).get(path).status_code == status


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 401), ("owner", 403), ("auditor", 403), ("superuser", 200)]
)
@pytest.mark.parametrize("path", ["/api/v1/audit", "/api/v1/audit/export"])
def test_the_trail_of_the_installation_is_for_superusers(api, cast, who, status, path):
    assert api(getattr(cast, who, None)).get(path).status_code == status


def test_a_superuser_finds_accounts_by_their_names(api, cast, trail):
    audit.record(actor=cast.superuser, verb="user.changed", subject=cast.author, at=AT)
    client = api(cast.superuser)

    of_author = {"subject": "author", "verb": "user."}
    assert verbs(client.get("/api/v1/audit", of_author)) == ["changed", "created"]
    assert verbs(client.get("/api/v1/audit", {"project": "none"})) == []


def body(answer):
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def test_an_export_has_every_entry_as_a_line_and_leaves_one(api, cast, trail):
    before = AuditEntry.objects.filter(project_name="rides").count()

    answer = api(cast.auditor).get(EXPORT, {"verb": "feature_view_version."})

    lines = [json.loads(line) for line in body(answer).splitlines()]
    assert [line["verb"].partition(".")[2] for line in lines] == [
        "drafted",
        "submitted",
        "rejected",
    ]
    assert lines[-1]["actor"] == "steward"
    assert answer["Content-Type"] == "application/x-ndjson"
    assert "attachment" in answer["Content-Disposition"]
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.actor_id) == ("audit.exported", cast.auditor.pk)
    assert entry.data == {"format": "jsonl", "filters": {"verb": "feature_view_version."}}
    assert AuditEntry.objects.filter(project_name="rides").count() == before + 1


def test_a_spreadsheet_computes_nothing_of_it(api, cast, trail):
    rows = list(csv.DictReader(io.StringIO(body(api(cast.auditor).get(EXPORT, {"format": "csv"})))))

    assert len(rows) == AuditEntry.objects.filter(project_name="rides").count() - 1
    assert FORMULA in json.loads(rows[-1]["data"])["comment"]
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "  =1", "＝1", "\n=1"])
def test_what_begins_like_a_formula_is_text(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (7, "7"), ("a=b", "a=b"), ({"a": 1}, '{"a":1}')]
)
def test_other_cells_are_as_they_are(value, text):
    assert cell(value) == text
