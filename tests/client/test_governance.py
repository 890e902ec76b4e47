"""Definitions, versions and runs through the client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from assay import Invalid, InvalidDefinition, RunFailed, WaitTimedOut
from assay.lifecycle import STARTS_FROM

RUN = {"id": 7, "feature_view": "v", "version": "1.0.0", "step": "offline", "error": None}
VERSIONS: list[dict[str, Any]] = [
    {"version": "2.0.0", "state": "approved", "ready": True, "default": False, "class": "major"},
    {"version": "1.1.0", "state": "in_review", "ready": False, "default": False, "class": "minor"},
    {"version": "1.0.0", "state": "approved", "ready": True, "default": True, "class": None},
    {"version": None, "state": "draft", "ready": False, "default": False, "class": None},
]
PLAN = {"project": "rides", "dry_run": True, "changes": []}


def test_files_are_sent_with_their_paths_and_folders_are_read(peer, store, tmp_path):
    peer.answers_with("POST definitions", PLAN)
    (tmp_path / "defs").mkdir()
    for name in ("b.yml", "a.yaml", "notes.txt"):
        (tmp_path / "defs" / name).write_text(f"# {name} é")

    assert store.plan("defs") == PLAN

    sent = peer.requests[0]
    assert sent.query == {"dry_run": ["true"], "details": ["true"]}
    assert sent.json() == {
        "files": [
            {"path": "defs/a.yaml", "text": "# a.yaml é"},
            {"path": "defs/b.yml", "text": "# b.yml é"},
        ]
    }


def test_dicts_are_sent_as_definitions(peer, store):
    peer.answers_with("POST definitions", PLAN)

    store.apply({"kind": "FeatureView", "name": "v", "ttl": timedelta(days=30)}, submit=True)

    assert peer.requests[0].query == {"submit": ["true"]}
    definitions = [{"kind": "FeatureView", "name": "v", "ttl": "30d"}]
    assert peer.requests[0].json() == {"definitions": definitions}


@pytest.mark.parametrize("given", ["absent.yaml", [], ["a.yaml", {"kind": "Entity"}]])
def test_definitions_that_cannot_be_read_are_not_sent(peer, store, given):
    with pytest.raises(Invalid):
        store.apply(given)

    assert peer.requests == []


def test_a_definition_that_cannot_be_read_is_named_once(store):
    with pytest.raises(Invalid, match=r"^absent\.yaml cannot be read: No such file or directory$"):
        store.apply("absent.yaml")


def test_each_wrong_key_is_kept_on_the_exception(peer, store):
    errors = [
        {"file": "a.yaml", "line": 3, "key": "ttl", "value": "x", "message": "not a duration"}
    ]
    problem = {"code": "invalid_definition", "detail": "1 error", "errors": errors}
    peer.answers_with("POST definitions", problem, 422)

    with pytest.raises(InvalidDefinition) as caught:
        store.apply({"kind": "FeatureView"})

    assert caught.value.errors == errors


def test_lists_read_page_after_page(peer, store):
    for number, more in ((1, "http://elsewhere.invalid/?offset=1"), (2, None)):
        page = {"count": 2, "next": more, "previous": None, "results": [{"name": f"e{number}"}]}
        peer.answers_with("GET entities", page)

    assert store.list_entities(tag="core") == [{"name": "e1"}, {"name": "e2"}]
    assert [sent.query["offset"] for sent in peer.requests] == [["0"], ["1"]]
    assert peer.requests[1].query["tag"] == ["core"]


def page_of(versions: list[dict[str, Any]]) -> dict[str, Any]:
    return {"count": len(versions), "next": None, "previous": None, "results": versions}


def in_state(state: str) -> list[dict[str, Any]]:
    return [each for each in VERSIONS if each["state"] == state]


@pytest.mark.parametrize(
    ("action", "version", "body"),
    [
        ("approve", "1.1.0", {"packet_hash": "abc"}),
        ("submit", "draft", {}),
        ("promote", "2.0.0", {}),
    ],
)
def test_without_a_version_the_only_possible_one_is_meant(peer, store, action, version, body):
    wanted = STARTS_FROM[action]
    peer.answers_with("GET feature-views/v/versions", page_of(in_state(wanted)))
    peer.answers_with(f"POST feature-views/v/versions/{version}/{action}", {"state": "done"})

    assert getattr(store, action)("v", comment="ok", **body) == {"state": "done"}
    assert peer.requests[0].query == {"state": [wanted], "limit": ["3"], "offset": ["0"]}
    assert peer.requests[-1].json() == {"comment": "ok"} | body


def test_what_an_action_takes_beside_a_comment_is_sent_when_given(peer, store):
    for action in ("approve", "retire"):
        peer.answers_with(f"POST feature-views/v/versions/1.0.0/{action}", {"state": "done"})

    store.approve("v@1.0.0", comment="ok", packet_hash="abc")
    store.retire("v@1.0.0", comment="It leaked.", force=True)
    store.retire("v@1.0.0")

    assert [sent.json() for sent in peer.requests] == [
        {"comment": "ok", "packet_hash": "abc"},
        {"comment": "It leaked.", "force": True},
        {"comment": ""},
    ]


def test_a_deprecation_says_until_when_if_it_knows(peer, store):
    peer.answers_with("POST feature-views/v/versions/1.0.0/deprecate", {"state": "deprecated"})

    store.deprecate("v@1.0.0", until=datetime(2027, 1, 31, tzinfo=UTC))
    store.deprecate("v@1.0.0")

    assert [sent.json() for sent in peer.requests] == [
        {"comment": "", "until": "2027-01-31T00:00:00+00:00"},
        {"comment": ""},
    ]


def test_when_two_versions_are_possible_both_are_named(peer, store):
    peer.answers_with("GET feature-views/v/versions", page_of(in_state("approved")))
    peer.answers_with("GET feature-views/v/versions", page_of(VERSIONS))

    with pytest.raises(
        Invalid, match=r"exactly one must be approved.*v@VERSION.*2\.0\.0 \(approved\)"
    ):
        store.deprecate("v")


def test_of_very_many_versions_an_error_names_the_first(peer, store):
    many = [{"version": f"1.0.{n}", "state": "approved", "default": n == 5} for n in range(11)]
    peer.answers_with("GET feature-views/v/versions", page_of(many))

    with pytest.raises(Invalid, match=r"1\.0\.9 \(approved\), …$"):
        store.promote("v")
    assert [sent.query["limit"] for sent in peer.requests] == [["3"], ["11"]]


def test_materialize_sends_utc_and_waits_with_progress(peer, store):
    peer.answers_with("POST materialize", {"runs": [{**RUN, "status": "queued"}]}, 202)
    for progress, status in ((0.5, "running"), (1, "succeeded")):
        peer.answers_with("GET runs/7", {**RUN, "status": status, "progress": progress})
    start = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    runs = store.materialize(start, datetime(2026, 1, 2, tzinfo=UTC), ["v"], wait=True)

    assert [run["status"] for run in runs] == ["succeeded"]
    assert peer.requests[0].json() == {
        "start_ts": "2025-12-31T22:00:00Z",
        "end_ts": "2026-01-02T00:00:00Z",
        "feature_views": ["v"],
    }
    assert len(peer.requests) == 3


def test_versions_that_share_a_table_share_one_run(peer, store):
    queued = {**RUN, "status": "queued"}
    peer.answers_with("POST materialize", {"runs": [queued, queued, {**queued, "id": 8}]}, 202)

    runs = store.materialize("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")

    assert [run["id"] for run in runs] == [7, 8]


@pytest.mark.parametrize("end", [1700000000, 1.7e9, np.int64(1700000000), True])
def test_a_number_is_no_instant(peer, store, end):
    with pytest.raises(Invalid, match="numbers do not say their unit; send datetimes or ISO 8601"):
        store.materialize_incremental(end)

    assert peer.requests == []


def test_an_instant_outside_the_calendar_is_refused(store):
    with pytest.raises(Invalid, match="0001-01-01 00:00:00\\+02:00 is not an instant"):
        store.materialize_incremental(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))))


@pytest.mark.parametrize(
    ("value", "words"),
    [(object(), "an object cannot"), (1j, "a complex cannot"), (UUID(int=1), "a UUID cannot")],
)
def test_what_json_does_not_have_is_named_by_its_type(peer, store, value, words):
    with pytest.raises(Invalid, match=f"^{words} be sent; give text, numbers"):
        store.apply({"kind": "Entity", "name": value})

    assert peer.requests == []


def test_numpy_times_are_times(peer, store):
    peer.answers_with("POST definitions", PLAN)
    at, ttl = np.datetime64("2026-01-02", "ns"), np.timedelta64(86400 * 10**9, "ns")

    store.apply({"kind": "FeatureView", "at": at, "ttl": ttl})

    sent = peer.requests[0].json()["definitions"]
    assert sent == [{"kind": "FeatureView", "at": "2026-01-02T00:00:00Z", "ttl": "1d"}]


def test_a_run_that_fails_raises_with_its_reason(peer, store):
    seen: list[dict[str, object]] = []
    failed = {**RUN, "status": "failed", "progress": 0.3, "error": "min of trips is -1"}
    peer.answers_with("GET runs/7", failed)

    with pytest.raises(RunFailed, match=r"run 7 of v@1\.0\.0 failed: min of trips is -1"):
        store.wait_for_run(7, on_progress=seen.append)

    assert seen == [failed]


def test_waiting_ends_when_patience_does(peer, store):
    peer.answers_with("GET runs/7", {**RUN, "status": "running", "progress": 0.3})

    with pytest.raises(WaitTimedOut, match="still running: 7"):
        store.wait_for_run(7, timeout_seconds=0.1)


def test_offline_paths_are_a_list_with_what_was_said_about_it(peer, store):
    peer.answers_with(
        "GET offline-files",
        {
            "version": "1.0.0", "delta_version": 31, "rows": 5, "warnings": ["careful"],
            "columns": [{"name": "k", "type": "int64"}],
            "files": [{"uri": "/a.parquet", "rows": 2}, {"uri": "/b.parquet", "rows": 3}],
        },
    )  # fmt: skip

    paths = store.offline_paths("v", "2026-01-01", "2026-01-31", version="v1")

    assert paths == ["/a.parquet", "/b.parquet"]
    assert (paths.version, paths.delta_version, paths.rows) == ("1.0.0", 31, 5)
    assert (paths.columns, paths.warnings) == ({"k": "int64"}, ["careful"])
    (sent,) = peer.requests
    assert sent.query == {
        "feature_view": ["v"], "version": ["v1"],
        "start": ["2026-01-01T00:00:00Z"], "end": ["2026-01-31T00:00:00Z"],
    }  # fmt: skip


def test_offline_files_are_asked_for_in_utc(peer, store):
    peer.answers_with("GET offline-files", {"files": []})
    start = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    assert store.offline_files("v", version="v2", start=start) == {"files": []}
    assert store.offline_files("v") == {"files": []}

    assert [sent.query for sent in peer.requests] == [
        {"feature_view": ["v"], "version": ["v2"], "start": ["2025-12-31T22:00:00Z"]},
        {"feature_view": ["v"]},
    ]
