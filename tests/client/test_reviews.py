"""What waits for review through the client and the command."""

from __future__ import annotations

from assay.cli.app import main

LINE = {
    "view": "profile", "version": "1.0.1", "class": "patch", "reasons": ["a", "b", "c"],
    "owner": "growth", "submitted_by": "ana", "overdue": True, "reviewers": [],
}  # fmt: skip
PAGE = {"count": 1, "next": None, "results": [LINE]}
ASKED = {"version": "1.0.1", "state": "in_review", "reviewers": ["stella"], "could": ["stella"]}


def assay(peer, *argv):
    return main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


def test_the_queue_is_listed_by_whose_turn_it_is(peer, store, capsys):
    peer.answers_with("GET reviews", PAGE)

    assert store.reviews(turn="overdue") == [LINE]
    assert peer.requests[0].query["for"] == ["overdue"]
    assert assay(peer, "reviews", "--for", "me") == 0
    said = capsys.readouterr().out
    assert "profile@1.0.1" in said
    assert "a; b; and 1 more" in said
    assert "all who may" in said


def test_reviewers_are_asked_at_submit_and_later(peer, store, capsys):
    version = {"name": "profile", "version": "1.0.1", "state": "in_review", "default": False}
    peer.answers_with("POST feature-views/profile/versions/draft/submit", version)
    peer.answers_with("POST feature-views/profile/versions/1.0.1/reviewers", ASKED)

    assert assay(peer, "submit", "profile@draft", "--reviewer", "stella") == 0
    assert peer.requests[-1].json() == {"comment": "", "reviewers": ["stella"]}
    assert assay(peer, "ask", "profile@1.0.1", "stella") == 0
    assert peer.requests[-1].json() == {"reviewers": ["stella"]}
    assert capsys.readouterr().out.endswith("profile@1.0.1 is asked of stella.\n")
    store.submit("profile@draft")
    assert peer.requests[-1].json() == {"comment": ""}


REMARK = {
    "id": 7, "thread": None, "author": "stella", "body": "Why?", "path": "ttl", "side": "new",
    "line": 1, "became": "changed", "resolved_at": None,
}  # fmt: skip
COMMENTS = "feature-views/profile/versions/1.0.1/comments"


def test_what_was_said_is_listed_answered_and_resolved(peer, capsys):
    answer = REMARK | {"id": 8, "thread": 7, "path": None, "became": None, "body": "Weekends."}
    peer.answers_with(f"GET {COMMENTS}", {"count": 2, "next": None, "results": [REMARK, answer]})
    peer.answers_with(f"POST {COMMENTS}", REMARK)
    peer.answers_with(f"POST {COMMENTS}/7/resolve", REMARK | {"resolved_at": "2026-03-01"})

    assert assay(peer, "comments", "profile@1.0.1") == 0
    said = capsys.readouterr().out
    assert "ttl:1 (new)" in said
    assert "Weekends." in said
    assert assay(peer, "comment", "profile@1.0.1", "Why?", "--path", "ttl", "--line", "1") == 0
    body = {"body": "Why?", "path": "ttl", "line": 1, "side": "new"}
    assert peer.requests[-1].json() == body
    assert assay(peer, "comment", "profile@1.0.1", "So.", "--answer", "7") == 0
    assert peer.requests[-1].json() == {"body": "So.", "thread": 7}
    assert assay(peer, "resolve", "profile@1.0.1", "7") == 0
    assert capsys.readouterr().out.endswith("comment 7 is resolved.\n")


def test_several_are_approved_and_one_refused_is_told_by_name(peer, capsys):
    results = [
        {"view": "profile", "version": "1.0.1", "approved": True, "state": "approved"},
        {"view": "spend", "version": "2.0.0", "approved": False, "code": "x", "detail": "alone."},
    ]
    peer.answers_with("POST reviews/bulk-approve", {"approved": 1, "results": results})

    assert assay(peer, "approve-together", "profile@1.0.1=a", "spend@2.0.0=b") == 1

    assert peer.requests[0].json()["versions"] == [
        {"view": "profile", "version": "1.0.1", "packet_hash": "a"},
        {"view": "spend", "version": "2.0.0", "packet_hash": "b"},
    ]
    said = capsys.readouterr()
    assert said.out == "profile@1.0.1: is approved\nspend@2.0.0: not approved: alone.\n"
    assert "1 of 2 could not be approved" in said.err
    assert assay(peer, "approve-together", "profile=a") == 1
