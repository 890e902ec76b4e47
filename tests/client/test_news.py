"""What one was told of, through the client and the command."""

from __future__ import annotations

from assay.cli.app import main

ONE = {
    "id": 7, "kind": "review", "project": "rides", "at": "2026-03-01T12:00:00Z", "read_at": None,
    "says": "ana submitted for your review profile@1.0.1",
}  # fmt: skip
CHOICE = {"kinds": ["review", "comment"], "muted": ["comment"], "by_mail": True}


def assay(peer, *argv):
    return main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


def test_news_are_listed_and_read(peer, store, capsys):
    peer.answers_with("GET /api/v1/notifications", {"count": 1, "next": None, "results": [ONE]})
    peer.answers_with("POST /api/v1/notifications/read", {"read": 1})

    assert store.notifications(unread=True) == [ONE]
    assert peer.requests[0].query["unread"] == ["true"]
    assert assay(peer, "notifications", "list") == 0
    assert "submitted for your review" in capsys.readouterr().out
    assert assay(peer, "notifications", "read", "7") == 0
    assert peer.requests[-1].json() == {"ids": [7]}
    assert assay(peer, "notifications", "read") == 0
    assert peer.requests[-1].json() == {}


def test_what_one_hears_is_chosen(peer, capsys):
    peer.answers_with("GET /api/v1/notifications/choice", CHOICE)
    peer.answers_with("POST /api/v1/notifications/choice", CHOICE)

    assert assay(peer, "notifications", "choose", "--mail", "no") == 0
    assert peer.requests[-1].json() == {"muted": ["comment"], "by_mail": False}
    assert assay(peer, "notifications", "choose", "--mute") == 0
    assert peer.requests[-1].json() == {"muted": [], "by_mail": True}
