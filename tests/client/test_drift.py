"""``assay diff`` and ``assay drift``: what differs from files and commits, and the exit code."""

from __future__ import annotations

import json

import pytest

from assay.cli import main

ORIGIN = {"repository": "https://git.example/rides", "commit": "0123456789abcdef"}
DIFFERENCE = {"path": "view.ttl", "lines": "- 2d\n+ 3d"}


def sent(name, change, **also):
    places = {"file": "f.yaml", "line": 4, "because_of": [], "differences": [], "reasons": []}
    words = {"class": None, "version": None, "state": None, "warnings": [], "breaks": []}
    return {"kind": "Entity", "name": name, "change": change, **places, **words, **also}


def there(name, standing=None, origin=None):
    row = {"kind": "Entity", "name": name, "version": None, "state": None, "standing": standing}
    return {**row, "origin": origin, "changed_by": "mia", "changed_at": "2026-03-01T12:00:00Z"}


def page(*found):
    return {"count": len(found), "next": None, "previous": None, "results": list(found)}


@pytest.fixture
def assay(peer, tmp_path):
    (tmp_path / "a.yaml").write_text("kind: Entity\n")
    return lambda *argv: main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


@pytest.fixture
def both(peer):
    """Four objects: in one place, in the other, in both alike and otherwise; one follows."""
    changes = [
        sent("new", "created"),
        sent("same", "unchanged"),
        sent("waiting", "unchanged", state="in_review"),
        sent("other", "updated", differences=[DIFFERENCE], reasons=["TTL extended"]),
        sent("follower", "updated", because_of=["other"], file=None),
    ]
    peer.answers_with(
        "POST definitions",
        {"project": "rides", "dry_run": True, "not_looked_at": 0, "changes": changes},
    )
    names = ("same", "waiting", "gone", "follower")
    other = there("other", "drifted", ORIGIN)
    peer.answers_with("GET definitions/registered", page(*map(there, names), other))


@pytest.mark.parametrize(("option", "code"), [((), 0), (("--exit-code",), 4)])
def test_a_diff_tells_where_each_object_is_and_how_it_differs(
    assay, both, tmp_path, capsys, option, code
):
    assert assay("diff", str(tmp_path / "a.yaml"), *option) == code

    shown = capsys.readouterr()
    assert "only here: Entity new (f.yaml:4)" in shown.out
    assert "only there: Entity gone" in shown.out
    assert "differs: Entity other (f.yaml:4)" in shown.out
    assert (
        "registered by mia, 2026-03-01T12:00:00Z"
        " (commit 0123456789ab of https://git.example/rides, changed since)"
    ) in shown.out
    assert "- 2d\n+ 3d" in shown.out
    assert "waits: Entity waiting is in_review" in shown.err
    assert "1 only here, 2 only there, 1 differ, 2 the same in project rides." in shown.out
    assert ("error: 4 objects differ" in shown.err) == bool(code)


def test_a_diff_as_json_says_the_same(assay, both, tmp_path, capsys):
    assert assay("diff", str(tmp_path / "a.yaml"), "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert {key: len(found[key]) for key in ("only_here", "only_there", "differs", "waits")} == {
        "only_here": 1,
        "only_there": 2,
        "differs": 1,
        "waits": 1,
    }
    assert found["differs"][0]["differences"] == [DIFFERENCE]
    assert found["differs"][0]["registered"]["origin"] == ORIGIN


def test_the_same_on_both_sides_exits_with_zero(assay, peer, tmp_path, capsys):
    changes = [sent("same", "unchanged")]
    plan = {"project": "rides", "dry_run": True, "changes": changes}
    peer.answers_with("POST definitions", plan)
    peer.answers_with("GET definitions/registered", page(there("same")))

    assert assay("diff", str(tmp_path / "a.yaml"), "--exit-code") == 0


@pytest.mark.parametrize(("found", "code"), [([], 0), ([there("x", "drifted", ORIGIN)], 4)])
def test_drift_lists_what_was_changed_since_its_commit(assay, peer, capsys, found, code):
    peer.answers_with("GET definitions/registered", page(*found))

    assert assay("drift", "--exit-code") == code

    shown = capsys.readouterr()
    assert peer.requests[0].query["standing"] == ["drifted"]
    assert ("0123456789ab" in shown.out) == bool(found)


def test_all_is_listed_where_it_is_asked_for(assay, peer, capsys):
    peer.answers_with("GET definitions/registered", page(there("x"), there("y", "waits", ORIGIN)))

    assert assay("drift", "--all", "--exit-code") == 0

    assert "standing" not in peer.requests[0].query
    assert "waits" in capsys.readouterr().out


def test_an_apply_sends_its_commit(assay, peer, tmp_path, capsys):
    answer = {"project": "rides", "dry_run": False, "changes": []}
    peer.answers_with("POST definitions", answer)
    commit = (
        "--repository",
        "https://u:s@git.example/rides",
        "--commit",
        "0123456",
        "--ref",
        "main",
    )

    assert assay("apply", str(tmp_path / "a.yaml"), "--submit", *commit) == 0

    query = peer.requests[0].query
    assert {key: query[key] for key in ("repository", "commit", "ref")} == {
        "repository": ["https://git.example/rides"],
        "commit": ["0123456"],
        "ref": ["main"],
    }
