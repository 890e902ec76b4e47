"""``assay export``: to standard output, or a file an object, written only where it differs."""

from __future__ import annotations

import pytest

from assay.cli import main

ENTITY = {"kind": "Entity", "name": "user", "version": None, "state": None}
VIEW = {"kind": "OnDemandFeatureView", "name": "risk", "version": "1.0.0", "state": "approved"}


def page(*found, next_=None):
    results = [{**each, "definition": f"kind: {each['kind']}\n"} for each in found]
    return {"count": 9, "next": next_, "previous": None, "results": results}


@pytest.fixture
def assay(peer):
    given = ["--url", peer.url, "--token", "t", "--project", "rides"]
    return lambda *argv: main([*given, "export", *argv])


def test_everything_is_one_stream_whatever_pages_it_comes_in(assay, peer, capsys):
    peer.answers_with("GET definitions/export", page(ENTITY, next_="…"))
    peer.answers_with("GET definitions/export", page(VIEW))

    assert assay() == 0

    assert capsys.readouterr().out == "kind: Entity\n---\nkind: OnDemandFeatureView\n"
    assert [request.query["offset"] for request in peer.requests] == [["0"], ["1"]]


def test_names_and_options_are_what_is_asked_for(assay, peer, capsys):
    peer.answers_with("GET definitions/export", page(VIEW))

    assert assay("risk", "--state", "draft", "--unversioned", "--json") == 0

    query = peer.requests[0].query
    assert (query["name"], query["state"], query["unversioned"]) == (["risk"], ["draft"], ["true"])


def test_a_name_that_is_nothing_is_named(assay, peer, capsys):
    peer.answers_with("GET definitions/export", page())

    assert assay("riks") == 1

    assert "there is nothing of the name 'riks' that is registered" in capsys.readouterr().err


def test_files_are_written_where_they_differ_and_others_are_named(assay, peer, tmp_path, capsys):
    peer.answers_with("GET definitions/export", page(ENTITY, VIEW))
    out = tmp_path / "definitions"
    (out / "feature_views").mkdir(parents=True)
    (out / "feature_views" / "gone.yaml").write_text("kind: FeatureView\n")
    (out / "feature_views" / "risk.yaml").write_text("kind: Other\n")

    assert assay("--out", str(out)) == 0

    shown = capsys.readouterr()
    assert (out / "entities" / "user.yaml").read_text() == "kind: Entity\n"
    assert (out / "feature_views" / "risk.yaml").read_text() == "kind: OnDemandFeatureView\n"
    assert "2 of 2 files written." in shown.out
    assert f"not registered, left as it is: {out}/feature_views/gone.yaml" in shown.err
    assert assay("--out", str(out)) == 0
    assert "0 of 2 files written." in capsys.readouterr().out


def test_a_part_of_it_says_nothing_of_other_files(assay, peer, tmp_path, capsys):
    peer.answers_with("GET definitions/export", page(ENTITY))
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / "other.yaml").write_text("kind: Entity\n")

    assert assay("user", "--out", str(tmp_path)) == 0

    assert "not registered" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [{"kind": "Entity", "name": "../../x"}, {"kind": "Secret", "name": "x"}]
)
def test_an_answer_writes_no_file_outside_its_folder(assay, peer, tmp_path, capsys, wrong):
    peer.answers_with("GET definitions/export", page(ENTITY | wrong))

    assert assay("--out", str(tmp_path / "a" / "b")) == 1

    assert "is no file's name" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_named(assay, peer, tmp_path, capsys):
    peer.answers_with("GET definitions/export", page(ENTITY))
    (tmp_path / "entities").write_text("")

    assert assay("--out", str(tmp_path)) == 1

    assert "cannot be written" in capsys.readouterr().err
