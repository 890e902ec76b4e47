"""A version is said in one form, ``view@1.2.0``, wherever a call takes one; the old form stays."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime

import pytest

from assay import AssayError, FeatureStore, Invalid
from assay.cli import main
from tests.client.test_cli_json import willing

__all__ = ["willing"]

VIEW, RUN = "GET feature-views/v/versions/1.2.0", "POST feature-views/v/versions/1.2.0/backfill"
DATASET = {"name": "churn", "version": 3, "status": "done", "rows": 0}


@pytest.mark.parametrize("said", [("v@1.2.0",), ("v", "1.2.0")])
def test_a_view_and_its_version_are_one_reference_or_two_arguments(peer, store, said):
    peer.answers_with(VIEW, {"version": "1.2.0"})
    peer.answers_with(RUN, {"id": 7})
    peer.answers_with("GET offline-files", {"files": []})

    assert store.get_feature_view_version(*said) == {"version": "1.2.0"}
    assert store.backfill(*said, start_date="2026-01-01") == {"id": 7}
    assert store.offline_files(said[0], version=(*said, None)[1]) == {"files": []}
    assert peer.requests[-1].query == {"feature_view": ["v"], "version": ["1.2.0"]}


@pytest.mark.parametrize("said", [("churn@3",), ("churn", 3)])
def test_so_are_a_dataset_and_its_number(peer, store, said):
    peer.answers_with("GET datasets/churn/3", DATASET)
    peer.answers_with("GET datasets/churn/3/manifest", {})
    peer.answers_with("POST datasets/churn/3/end", {"status": "ended"})

    assert store.get_dataset(*said).version == 3
    assert store.wait_for_dataset(*said).version == 3
    assert store.end_dataset(*said, reason="Replaced") == {"status": "ended"}
    assert peer.requests[-1].json()["reason"] == "Replaced"


def test_waits_tell_what_each_look_found(peer, store):
    peer.answers_with("GET datasets/churn/3", {**DATASET, "status": "running"})
    peer.answers_with("GET datasets/churn/3", DATASET)
    peer.answers_with("GET datasets/churn/3/manifest", {})
    peer.answers_with("GET certificates/7", {"id": 7, "status": "running"})
    peer.answers_with("GET certificates/7", {"id": 7, "status": "equal"})
    seen = []

    store.wait_for_dataset("churn@3", on_progress=seen.append)
    store.wait_for_certificate(7, on_progress=seen.append)

    assert [found["status"] for found in seen] == ["running", "running"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.backfill("v"), r"say which version of v, as in v@1\.2\.0"),
        (lambda s: s.backfill("v@1.2.0", "1.3.0"), "both say a version; give one"),
        (lambda s: s.backfill("v@1.2.0", datetime(2026, 1, 1)), "version is .*write it as"),  # noqa: DTZ001
        (lambda s: s.get_feature_view_version("v@"), "'v@' is no reference; write NAME"),
        (lambda s: s.offline_files("v@1.2.0", version="1.2.0"), "'v@1.2.0' and version=.* both"),
        (lambda s: s.get_dataset("churn@three"), "write NAME or NAME@VERSION, as in churn@3"),
        (lambda s: s.get_dataset("churn", "3"), "version is .*; write it as 3"),
        (lambda s: s.get_dataset("churn@3", 3), "'churn@3' and version=3 both"),
        (lambda s: s.wait_for_dataset("churn"), "say which version of churn, as in churn@3"),
        (lambda s: s.end_dataset("churn", reason="Old"), "say which version of churn"),
        (lambda s: s.end_dataset("churn@3"), "say why it is ended"),
        (lambda s: s.submit("@1.0.0"), "'@1.0.0' is no reference"),
    ],
)
def test_what_is_no_reference_is_refused_before_anything_is_sent(peer, store, call, says):
    with pytest.raises(Invalid, match=says):
        call(store)

    assert peer.requests == []


#: Parameters that name a view, or a feature of one, and what stands for a version of it there.
NAMES = {
    "reference": "view@1.2.0",
    "feature_view": "view@1.2.0",
    "feature_view_name": "view@1.2.0",
    "feature_views": ["view@1.2.0"],
    "feature": "view@1.2.0:f",
    "packets": {"view@1.2.0": "0a"},
}
#: Where a ``name`` is one of a view.
NAMED = ("get_feature_view", "get_feature_view_version", "get_lineage", "list_versions")
GIVEN = {
    "df": {"id": [1]},
    "ends_at": datetime(2026, 1, 1, tzinfo=UTC),
    "first_run": 1,
    "last_run": 2,
    "comment_id": 7,
    "reviewers": ["sam"],
    "kind": "feature-view",
    "start_date": "2026-01-01",
    "end_date": "2026-01-02",
}


def calls_of_views():
    for name, call in inspect.getmembers(FeatureStore, inspect.isfunction):
        parameters = inspect.signature(call).parameters
        found = [each for each in NAMES if each in parameters]
        found += ["name"] * (name in NAMED)
        if found and not name.startswith("_"):
            yield pytest.param(name, found[0], id=name)


@pytest.mark.parametrize(("name", "parameter"), list(calls_of_views()))
def test_each_call_takes_a_version_or_says_that_it_is_about_all(willing, store, name, parameter):
    willing.answers_with("POST write-to-online-store", PUSHED)
    willing.answers_with("GET offline-files", OFFLINE)
    call = getattr(store, name)
    given = {parameter: NAMES.get(parameter, "view@1.2.0")}
    for each in inspect.signature(call).parameters.values():
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            given.setdefault(each.name, GIVEN.get(each.name, "word"))
    positional = [
        given.pop(each.name)
        for each in inspect.signature(call).parameters.values()
        if each.kind == each.POSITIONAL_ONLY
    ]

    try:
        call(*positional, **given)
    except AssayError as exc:
        assert isinstance(exc, Invalid), exc
        assert "all versions of a view: write 'view', not 'view@1.2.0'" in exc.message
        assert willing.requests == []
        return
    asked = [f"{sent.path} {sent.query} {sent.body!r}" for sent in willing.requests]
    assert "1.2.0" in asked[0], asked


USAGE: dict[str, object] = {"results": [], "next": None, "samples": [], "samples_dropped": 0}
OFFLINE = {
    "version": "1.2.0",
    "delta_version": 1,
    "rows": 0,
    "columns": [],
    "files": [],
    "warnings": [],
}
PUSHED = {
    "rows": 1,
    "taken": 1,
    "refused": [],
    "refused_count": 0,
    "feature_views": [],
    "received_at": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    "line",
    [
        "feature-views describe view@1.2.0",
        "runs list --view view@1.2.0",
        "offline-files view@1.2.0",
        "backfill view@1.2.0 --no-wait",
    ],
)
def test_so_do_commands(willing, capsys, line):
    at = ("--json", "--url", willing.url, "--token", "t", "--project", "rides")

    assert main([*at, *line.split()]) == 0

    asked = willing.requests[0]
    assert "1.2.0" in f"{asked.path} {asked.query}"
    assert json.loads(capsys.readouterr().out) is not None
