"""Service accounts and tokens through the client and the command."""

from __future__ import annotations

import io

from assay.cli.app import main

ACCOUNT = {
    "name": "churn", "account": "churn@rides", "roles": ["consumer"], "owner": "ana",
    "active": True, "live_tokens": 1, "description": "The churn model",
}  # fmt: skip
TOKEN = {
    "id": 7, "name": "production", "user": "churn@rides", "state": "live", "prefix": "assay_abc",
    "expires_at": "2026-06-01T00:00:00Z", "last_used_at": None,
}  # fmt: skip


def assay(peer, *argv):
    return main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


def test_accounts_are_made_listed_and_shut_out(peer, store, capsys):
    peer.answers_with("POST service-accounts", ACCOUNT)
    peer.answers_with("GET service-accounts", {"next": None, "results": [ACCOUNT]})
    peer.answers_with("GET service-accounts/churn", ACCOUNT | {"tokens": [TOKEN]})
    peer.answers_with("POST service-accounts/churn", ACCOUNT | {"active": False})

    assert assay(peer, "service-accounts", "create", "churn", "--role", "consumer") == 0
    assert peer.requests[-1].json() == {
        "name": "churn", "role": "consumer", "description": "", "owner": None,
    }  # fmt: skip
    assert store.list_service_accounts() == [ACCOUNT]
    assert assay(peer, "service-accounts", "list") == 0
    assert assay(peer, "service-accounts", "describe", "churn") == 0
    said = capsys.readouterr().out
    assert "churn@rides is made" in said
    assert "assay_abc" in said
    assert assay(peer, "service-accounts", "change", "churn", "--active", "false") == 0
    assert peer.requests[-1].json() == {"description": None, "owner": None, "active": False}


def test_the_text_of_a_token_is_all_that_is_printed(peer, capsys):
    peer.answers_with("POST tokens", TOKEN | {"token": "assay_secret"})
    peer.answers_with("POST tokens/7/rotate", TOKEN | {"token": "assay_next"})
    peer.answers_with("POST tokens/7/revoke", TOKEN)

    limits = ["--right", "read_online", "--network", "10.0.0.0/8", "--view", "spend"]
    assert assay(peer, "tokens", "issue", "production", "--for", "churn", *limits) == 0
    assert capsys.readouterr().out == "assay_secret\n"
    assert peer.requests[-1].json() == {
        "name": "production", "days": 90, "service_account": "churn", "views": ["spend"],
        "rights": ["read_online"], "networks": ["10.0.0.0/8"],
    }  # fmt: skip
    assert assay(peer, "tokens", "rotate", "7", "--overlap-hours", "2") == 0
    assert peer.requests[-1].json() == {"days": None, "overlap_hours": 2}
    assert capsys.readouterr().out == "assay_next\n"
    assert assay(peer, "tokens", "revoke", "7") == 0
    assert "is refused from now on" in capsys.readouterr().out


def test_tokens_are_listed(peer, store, capsys):
    peer.answers_with("GET tokens", {"next": None, "results": [TOKEN]})

    assert store.list_tokens(live=True) == [TOKEN]
    assert peer.requests[-1].query["live"] == ["true"]
    assert assay(peer, "tokens", "list") == 0
    assert "production" in capsys.readouterr().out


def test_logging_in_asks_for_a_password_of_ones_own_and_keeps_the_token(
    peer, tmp_path, monkeypatch, capsys
):
    """An older token of the caller's is no part of it; standard input stands in for asking."""
    refusal = {"code": "password_not_your_own", "detail": "somebody else set this password"}
    made = {"token": "assay_new", "expires_at": "2026-12-27T00:00:00Z"}
    peer.answers_with("POST /api/v1/login", refusal, status=409)
    peer.answers_with("POST /api/v1/login", made, status=201)
    monkeypatch.setattr("sys.stdin", io.StringIO("given\nown\n"))
    file = tmp_path / "ana.token"
    file.write_text("old")
    file.chmod(0o644)

    code = main(["--url", peer.url, "--token", "old", "login", "ana", "--token-file", str(file)])

    assert code == 0
    assert [request.json().get("new_password") for request in peer.requests] == [None, "own"]
    assert not [request for request in peer.requests if "Authorization" in request.headers]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("assay_new\n", 0o600)
    assert "assay_new" not in capsys.readouterr().out


def test_without_a_file_the_token_is_all_that_is_printed(peer, monkeypatch, capsys):
    peer.answers_with("POST /api/v1/login", {"token": "assay_new", "expires_at": "x"}, status=201)
    monkeypatch.setattr("sys.stdin", io.StringIO("own\n"))
    monkeypatch.setenv("ASSAY_TOKEN_FILE", "/is/not/there")  # it may be what is made now

    assert main(["--url", peer.url, "login", "ana", "--days", "3"]) == 0

    assert capsys.readouterr().out == "assay_new\n"
    assert peer.requests[0].json()["days"] == 3


def test_limits_of_calls_are_sent_where_they_are_said(peer, capsys):
    peer.answers_with("POST tokens", TOKEN | {"token": "assay_secret", "calls_per_minute": 60})
    peer.answers_with("POST service-accounts/churn", ACCOUNT | {"calls_per_minute": None})

    assert assay(peer, "tokens", "issue", "production", "--calls-per-minute", "60") == 0
    assert peer.requests[-1].json()["calls_per_minute"] == 60
    assert assay(peer, "service-accounts", "change", "churn", "--calls-per-minute", "0") == 0
    assert peer.requests[-1].json()["calls_per_minute"] == 0
