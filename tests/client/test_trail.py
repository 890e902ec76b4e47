"""The trail through the client and the command: searched, and written as it comes."""

from __future__ import annotations

import io

import pytest

from assay.cli import main

ENTRY = {
    "id": 1, "at": "2026-11-27T00:00:00Z", "actor": "stella", "verb": "project.changed",
    "subject": "rides", "data": {"comment": "as agreed"},
}  # fmt: skip
LINES = b'{"id":1}\n{"id":2}\n'


@pytest.fixture
def assay(peer):
    """Run the command against the peer; give its exit code."""
    return lambda *argv: main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


def test_entries_are_asked_for_by_every_filter(assay, peer, capsys):
    peer.answers_with("GET audit", {"results": [ENTRY], "next": None})

    code = assay(
        "audit", "--actor", "stella", "--since", "2026-11-01", "--request-id", "x", "--q", "w"
    )

    sent = peer.requests[0].query
    assert (code, sent["actor"], sent["since"], sent["request_id"], sent["q"]) == (
        0, ["stella"], ["2026-11-01"], ["x"], ["w"],
    )  # fmt: skip
    assert "as agreed" in capsys.readouterr().out


def test_the_whole_trail_is_written_to_a_file(assay, peer, tmp_path):
    peer.answers_with("GET audit/export", LINES)
    path = tmp_path / "audit.csv"

    assert assay("audit", "--format", "csv", "--verb", "user.", "--output", str(path)) == 0

    assert path.read_bytes() == LINES
    assert peer.requests[0].query == {"format": ["csv"], "verb": ["user."]}


def test_the_client_writes_into_an_open_file(peer, store):
    peer.answers_with("GET audit/export", LINES)
    file = io.BytesIO()

    store.export_audit(file, actor="stella")

    assert file.getvalue() == LINES
    assert peer.requests[0].query == {"format": ["jsonl"], "actor": ["stella"]}
