"""The command: arguments to requests, answers to text, errors to exit codes."""

from __future__ import annotations

import io
import json

import pytest

from assay.cli import main

RUN = {
    "id": 7,
    "feature_view": "v",
    "version": "1.0.0",
    "kind": "backfill",
    "status": "succeeded",
    "step": "done",
    "progress": 1.0,
    "rows_read": 12,
    "rows_offline": 12,
    "rows_online": 3,
    "error": None,
}
ONLINE = {
    "metadata": {"feature_names": ["user_id", "genre"]},
    "results": [
        {"values": [1, 2], "statuses": ["PRESENT"] * 2, "event_timestamps": [None] * 2},
        {
            "values": ["docu[red]\x1b[2J", None],
            "statuses": ["PRESENT", "OUTSIDE_MAX_AGE"],
            "event_timestamps": [None] * 2,
        },
    ],
}


@pytest.fixture
def assay(peer):
    """Run the command against the peer; give its exit code."""
    return lambda *argv: main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


def test_definition_errors_are_printed_as_editors_read_them(assay, peer, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("kind: FeatureView\n")
    errors = [
        {"file": "a.yaml", "line": 3, "key": "ttl", "value": "x", "message": "not a duration"},
        {"file": "a.yaml", "line": None, "key": None, "value": None, "message": "no name"},
    ]
    problem = {"code": "invalid_definition", "detail": "2 errors", "errors": errors}
    peer.answers_with("POST definitions", problem, 422)

    assert assay("apply", "a.yaml", "--plan") == 1

    assert capsys.readouterr().err == "a.yaml:3: ttl: not a duration\na.yaml: no name\n"
    assert peer.requests[0].query == {"dry_run": ["true"]}


def test_plan_prints_what_would_change(assay, peer, tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("kind: FeatureView\n")
    change = {
        "kind": "FeatureView",
        "name": "v",
        "change": "updated",
        "class": "major",
        "version": "2.0.0",
        "state": "draft",
        "reasons": ["x removed"],
        "warnings": ["bulk"],
    }
    plan = {"project": "rides", "dry_run": True, "changes": [change]}
    peer.answers_with("POST definitions", plan)

    assert assay("plan", "a.yaml") == 0

    shown = capsys.readouterr()
    assert "FeatureView  v     updated  major  2.0.0    draft" in shown.out
    assert "FeatureView v: x removed" in shown.out
    assert "1 of 1 objects would change in project rides." in shown.out
    assert "warning: FeatureView v: bulk" in shown.err


@pytest.mark.parametrize(
    ("option", "said"), [((), "each view that is new or changed"), (("--look-all",), "every view")]
)
def test_who_waits_at_a_terminal_is_told_for_what(
    assay, peer, tmp_path, capsys, monkeypatch, option, said
):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    (tmp_path / "a.yaml").write_text("kind: FeatureView\n")
    plan = {"project": "rides", "dry_run": True, "changes": [], "not_looked_at": 3}
    peer.answers_with("POST definitions", plan)

    assert assay("plan", "a.yaml", *option) == 0

    shown = capsys.readouterr()
    assert f"sending 1 file; the server looks at the data of {said}" in shown.err
    assert "3 views are registered as sent; the data were not looked at" in shown.out
    assert ("look_all" in peer.requests[0].query) == bool(option)


def test_entities_keep_their_types(assay, peer):
    peer.answers_with("POST get-online-features", ONLINE)
    arguments = ("-f", "v:genre", "--entity", "user_id=1", "zip=00501", 'user_id:="7"', "zip=-3")

    assert assay("get-online-features", *arguments) == 0

    assert peer.requests[0].json()["entities"] == {"user_id": [1, "7"], "zip": ["00501", -3]}


def test_a_value_that_is_not_there_shows_its_status_and_text_cannot_steer_the_terminal(
    assay, peer, capsys
):
    peer.answers_with("POST get-online-features", ONLINE)

    assert assay("get-online-features", "-s", "ranker", "-e", "user_id=1", "user_id=2") == 0

    shown = capsys.readouterr().out
    assert "docu[red]\\x1b[2J" in shown
    assert "OUTSIDE_MAX_AGE" in shown


def test_json_is_for_programs_wherever_the_option_stands(assay, peer, capsys):
    page = {"count": 1, "next": None, "previous": None, "results": [{"name": "driver"}]}
    peer.answers_with("GET entities", page)

    assert assay("entities", "list", "--json") == 0
    assert assay("--json", "entities", "list", "--tag", "core") == 0

    first, second = capsys.readouterr().out.split("]\n")[:2]
    assert json.loads(first + "]") == json.loads(second + "]") == [{"name": "driver"}]


def test_materialize_waits_and_shows_each_step(assay, peer, capsys):
    peer.answers_with("POST materialize-incremental", {"runs": [{**RUN, "status": "queued"}]}, 202)
    peer.answers_with(
        "GET runs/7", {**RUN, "status": "running", "step": "offline", "progress": 0.5}
    )
    peer.answers_with("GET runs/7", RUN)

    assert assay("materialize-incremental", "2026-01-02T00:00:00", "--views", "v") == 0

    assert peer.requests[0].json() == {"end_ts": "2026-01-02T00:00:00Z", "feature_views": ["v"]}
    shown = capsys.readouterr()
    assert "run 7 v@1.0.0: running, offline 50%" in shown.err
    assert "7   v@1.0.0  succeeded  12" in shown.out


@pytest.mark.parametrize("command", [("materialize", "2026-01-01"), ("materialize-incremental",)])
def test_versions_that_share_a_table_show_one_run(assay, peer, capsys, command):
    queued = {**RUN, "status": "queued"}
    peer.answers_with(f"POST {command[0]}", {"runs": [queued, queued]}, 202)
    peer.answers_with("GET runs/7", RUN)

    assert assay(*command, "2026-01-02") == 0
    assert capsys.readouterr().out.count("v@1.0.0") == 1

    assert assay(*command, "2026-01-02", "--json", "--no-wait") == 0
    assert json.loads(capsys.readouterr().out) == [queued]


def test_a_range_of_ticks_that_is_asked_for_again_says_what_was_not_done(assay, peer, capsys):
    again = {**RUN, "kind": "again", "rows_offline": 3, "source": {"keeps_ticks": True}}
    peer.answers_with("POST materialize", {"runs": [again]}, 202)
    peer.answers_with("GET runs/7", again)

    assert assay("materialize", "2026-01-01", "2026-01-02", "-v", "v") == 0
    said = capsys.readouterr().out
    assert "ticks that are stored are never rewritten" in said
    assert "3 rows of new ticks were stored" in said
    assert "compared with the source" not in said


def test_history_that_is_stored_already_is_said_to_be_loaded_again(assay, peer, capsys):
    reload = {**RUN, "kind": "reload", "rows_read": 0}
    peer.answers_with("POST materialize", {"runs": [{**reload, "status": "queued"}]}, 202)
    peer.answers_with("GET runs/7", reload)

    assert assay("materialize", "2026-01-01", "2026-01-02", "-v", "v") == 0
    assert "run 7 v@1.0.0: already stored; loaded again\n" in capsys.readouterr().out

    assert assay("runs", "watch", "7", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [reload]


def test_the_first_of_two_approvals_says_that_it_still_waits(assay, peer, capsys):
    version = {"name": "profile", "version": "1.0.0", "state": "in_review", "default": False}
    peer.answers_with("POST feature-views/profile/versions/1.0.0/approve", version)
    peer.answers_with(
        "GET feature-views/profile/versions/1.0.0/review", {"given": 1, "required": 2}
    )

    assert assay("approve", "profile@1.0.0", "--packet", "f00") == 0

    said = "profile@1.0.0: your approval is recorded, 1 of 2; it still waits.\n"
    assert capsys.readouterr().out == said


def test_a_review_shows_each_change_line_by_line(assay, peer, capsys):
    lines = "  SELECT\n-   a * 2 AS twice\n+   a * 3 AS twice"
    source = {"rows": 7, "files": {f"day={day}.parquet": "f00d" for day in range(7)}}
    diff = [{"path": "view.sql", "before": "…", "after": "…"}]
    packet = {"class": "major", "diff": diff, "source": source}
    peer.answers_with(
        "GET feature-views/profile/versions/2.0.0/review",
        {
            "version": "2.0.0", "state": "in_review", "given": 0, "required": 1, "approvals": [],
            "packet_hash": "f00", "packet": packet, "submitted_by": "ana",
            "changes": [{"path": "view.sql", "lines": lines}],
        },
    )  # fmt: skip

    assert assay("review", "profile@2.0.0") == 0

    said = capsys.readouterr().out
    assert said.endswith(f"\nview.sql\n{lines}\n")
    assert "ana" in said
    assert "7, day=0.parquet to day=6.parquet; --json has all" in said
    assert "f00d" not in said


def test_the_last_approval_says_the_state(assay, peer, capsys):
    version = {"name": "profile", "version": "1.0.0", "state": "approved", "default": False}
    peer.answers_with("POST feature-views/profile/versions/1.0.0/approve", version)

    assert assay("approve", "profile@1.0.0", "--packet", "f00") == 0

    assert capsys.readouterr().out == "profile@1.0.0 is approved.\n"


@pytest.mark.parametrize(
    ("action", "options", "verdict", "says"),
    [
        ("break-glass", ["--until", "2026-03-02T00:00:00Z"], None, "not confirmed yet: Down."),
        ("confirm", [], None, "glass broken by ana until 2026-03-02T00:00:00Z"),
        ("object", [], "objected", "mia objected to its broken glass: Wrong."),
    ],
)
def test_a_broken_glass_is_said_after_each_step_about_it(
    assay, peer, capsys, action, options, verdict, says
):
    glass = {
        "by": "ana", "reason": "Down.", "until": "2026-03-02T00:00:00Z", "verdict": verdict,
        "looked_by": "mia", "comment": "Wrong.",
    }  # fmt: skip
    version = {"name": "profile", "version": "1.0.0", "state": "approved", "break_glass": glass}
    peer.answers_with(f"POST feature-views/profile/versions/1.0.0/{action}", version)

    told = ["--packet", "f00", "--comment", "Down.", *options]
    assert assay(action, "profile@1.0.0", *told) == 0

    assert says in capsys.readouterr().out
    sent = peer.requests[-1].json()
    assert sent["packet_hash"] == "f00"
    assert sent.get("until", "").startswith("2026-03-02" if options else "")
    assert [sent.json()["packet_hash"] for sent in peer.requests] == ["f00"]


@pytest.mark.parametrize("action", ["confirm", "object"])
def test_without_a_version_the_one_whose_glass_waits_is_meant(assay, peer, action):
    glass = {"by": "ana", "reason": "Down.", "until": "2026-03-02T00:00:00Z", "verdict": None}
    numbers = {"2.1.0": None, "2.0.0": glass, "1.0.0": {**glass, "verdict": "objected"}}
    versions = [
        {"name": "profile", "version": number, "state": "approved", "break_glass": mark}
        for number, mark in numbers.items()
    ]
    page = {"count": 3, "next": None, "results": versions}
    peer.answers_with("GET feature-views/profile/versions", page)
    peer.answers_with(f"POST feature-views/profile/versions/2.0.0/{action}", versions[1])

    assert assay(action, "profile", "--packet", "f00", "--comment", "Seen.") == 0


def test_a_refusal_is_shown_in_the_servers_words(assay, peer, capsys):
    states = "cancelled, errored, failed, paused, queued, running, succeeded"
    detail = f"unknown status 'foo'. Valid: {states}."
    peer.answers_with("GET runs", {"code": "invalid_filter", "detail": detail}, 422)

    assert assay("runs", "list", "--status", "foo") == 1

    assert capsys.readouterr().err == f"error: {detail}\n"


ALERT = {
    "id": 3, "severity": "critical", "kind": "overdue", "subject": "profile@1.0.0", "count": 4,
    "state": "open", "last_seen_at": "2026-01-01T00:00:00Z", "words": "it is late",
}  # fmt: skip


def test_alerts_are_listed_and_acknowledged(assay, peer, capsys):
    peer.answers_with("GET alerts", {"count": 1, "next": None, "results": [ALERT]})
    peer.answers_with("POST alerts/3/acknowledge", ALERT | {"state": "acknowledged"})

    assert assay("alerts", "list", "--state", "open", "--severity", "critical") == 0
    assert assay("alerts", "acknowledge", "3") == 0

    out = capsys.readouterr().out
    assert "profile@1.0.0" in out
    assert "it is late" in out
    assert "acknowledged" in out


STREAM = {
    "id": 7, "feature_view": "last_trip", "stream": "trips", "partition": 2, "state": "stopped",
    "place": 40, "lag": 10_000, "lag_is_least": True, "words": "it ends at 1",
}  # fmt: skip
LETTER = {
    "id": 9, "feature_view": "last_trip", "stream": "trips", "partition": 2, "place": 12,
    "state": "asked", "column": "fare", "words": "float64 is asked for",
}  # fmt: skip


def test_streams_and_dead_letters_are_listed_and_seen_to(assay, peer, capsys):
    peer.answers_with("GET streams", {"count": 1, "next": None, "results": [STREAM]})
    peer.answers_with("GET dead-letters", {"count": 1, "next": None, "results": [LETTER]})
    peer.answers_with("POST streams/7/read-on", STREAM | {"state": "waiting"})
    peer.answers_with("POST dead-letters/9/replay", LETTER)
    done = {"dismissed": 1_200, "still_alike": 3, "letter": LETTER}
    peer.answers_with("POST dead-letters/9/dismiss", done)

    assert assay("streams", "list", "--state", "stopped") == 0
    assert assay("streams", "letters") == 0
    assert assay("streams", "read-on", "7", "oldest", "--reason", "made anew") == 0
    assert assay("streams", "replay", "9") == 0
    assert assay("streams", "dismiss", "9", "--reason", "a test's", "--alike") == 0

    out = capsys.readouterr().out
    assert "it ends at 1" in out
    assert "10000 or more" in out
    assert "float64 is asked for" in out
    (sent,) = [each for each in peer.requests if each.path.endswith("read-on")]
    assert json.loads(sent.body) == {"place": "oldest", "reason": "made anew"}
    assert "dismissed: 1,200; 3 alike wait still" in out
    assert json.loads(peer.requests[-1].body) == {"reason": "a test's", "alike": True}
    with pytest.raises(SystemExit):
        assay("streams", "read-on", "7", "first", "--reason", "x")


def test_an_empty_frame_is_named_and_not_sent(assay, peer, tmp_path, capsys):
    (tmp_path / "frame.csv").touch()

    assert assay("get-historical-features", "frame.csv", "-s", "ranker", "-o", "out.csv") == 1

    assert capsys.readouterr().err.startswith("error: frame.csv is empty; an entity frame has")
    assert peer.requests == []


@pytest.mark.parametrize(
    ("code", "detail", "said"),
    [
        (
            "invalid_entity_frame",
            "the body is no readable application/vnd.apache.parquet: magic bytes not found.",
            "frame.parquet: it is no readable .parquet file: magic bytes not found.",
        ),
        (
            "invalid_entity_value",
            "column 'event_timestamp': 'x' is not a time.",
            "frame.parquet: column 'event_timestamp': 'x' is not a time.",
        ),
        ("not_found", "there is no feature service 'ranker'.", None),
    ],
)
def test_what_is_wrong_with_a_frame_is_said_with_its_file(
    assay, peer, tmp_path, capsys, code, detail, said
):
    (tmp_path / "frame.parquet").write_bytes(b"user_id\n1\n")
    peer.answers_with("POST get-historical-features", {"code": code, "detail": detail}, 422)

    assert assay("get-historical-features", "frame.parquet", "-s", "ranker", "-o", "out.csv") == 1

    assert capsys.readouterr().err == f"error: {said or detail}\n"


def test_an_output_that_cannot_be_written_is_named(assay, peer, tmp_path, capsys):
    (tmp_path / "frame.csv").write_bytes(b"user_id\n1\n")
    (tmp_path / "out.csv").mkdir()
    peer.answers_with("POST get-historical-features", b"user_id,x\n", Content_Type="text/csv")

    assert assay("get-historical-features", "frame.csv", "-s", "ranker", "-o", "out.csv") == 1

    assert capsys.readouterr().err == "error: out.csv cannot be written: Is a directory\n"


def test_a_training_set_goes_from_file_to_file_as_bytes(assay, peer, tmp_path, capsys):
    (tmp_path / "frame.csv").write_bytes(b"user_id,event_timestamp\n1,2026-01-01\n")
    headers = {"Content_Type": "application/vnd.apache.parquet", "Assay_Warnings": '["few rows"]'}
    peer.answers_with("POST get-historical-features", b"PAR1...", **headers)

    assert (
        assay("get-historical-features", "frame.csv", "-f", "v:x", "w:y", "-o", "out.parquet") == 0
    )

    sent = peer.requests[0]
    assert sent.body == b"user_id,event_timestamp\n1,2026-01-01\n"
    assert sent.headers["Content-Type"] == "text/csv"
    assert sent.query["features"] == ["v:x", "w:y"]
    assert (tmp_path / "out.parquet").read_bytes() == b"PAR1..."
    assert "warning: few rows" in capsys.readouterr().err


def test_a_view_under_another_name_is_an_option(assay, peer, tmp_path, capsys):
    (tmp_path / "frame.csv").write_bytes(b"buyer_id,event_timestamp\n1,2026-01-01\n")
    peer.answers_with("POST get-historical-features", b"a\n", Content_Type="text/csv")
    asked = ["get-historical-features", "frame.csv", "-f", "buyer:x", "-o", "out.csv"]
    buyer = "buyer=customer,customer_id=buyer_id"

    assert assay(*asked, "--view", buyer, "--view", "v,id=user_id") == 0

    assert json.loads(peer.requests[0].query["views"][0]) == {
        "buyer": {"view": "customer", "join_keys": {"customer_id": "buyer_id"}},
        "v": {"join_keys": {"id": "user_id"}},
    }
    assert assay(*asked, "--view", buyer, "--view", "buyer") == 1
    assert "names 'buyer' twice" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        assay(*asked, "--view", "buyer=")
    assert "'buyer=' is not NAME[=VIEW]" in capsys.readouterr().err


def test_all_entities_stand_in_for_a_frame(assay, peer, tmp_path, capsys):
    peer.answers_with("POST get-historical-features", b"a\n", Content_Type="text/csv")
    asked = ["get-historical-features", "-f", "v:x", "-o", "out.csv"]

    assert assay(*asked, "--at", "2026-01-01") == 0
    assert assay(*asked, "--start", "2026-01-01", "--end", "2026-02-01", "--every", "1d") == 0

    assert [sent.json()["all_entities"] for sent in peer.requests] == [
        {"at": ["2026-01-01T00:00:00Z"]},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z", "every": "1d"},
    ]
    assert assay(*asked) == 1
    assert "give one: FRAME, the times" in capsys.readouterr().err
    assert assay(*asked, "frame.csv", "--at", "2026-01-01") == 1


def test_an_answer_that_breaks_off_leaves_the_old_output_alone(assay, peer, tmp_path):
    (tmp_path / "frame.csv").write_bytes(b"user_id\n1\n")
    (tmp_path / "out.csv").write_bytes(b"old")
    headers = {"Content_Type": "text/csv", "Content_Length": "1000", "Connection": "close"}
    peer.answers_with("POST get-historical-features", b"user_id,x\n", **headers)

    assert assay("get-historical-features", "frame.csv", "-s", "ranker", "-o", "out.csv") == 3

    assert (tmp_path / "out.csv").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame.csv", "out.csv"]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--token", "t", "--url", "http://127.0.0.1:1", "whoami"], 3),
        (["whoami"], 2),
        (["--token", "t", "--url", "nonsense", "whoami"], 2),
        (["--token", "t", "runs", "list", "--limit", "0", "--project", "p"], 1),
    ],
)
def test_exit_codes_tell_what_kind_of_failure_it_was(argv, code):
    assert main(argv) == code


@pytest.mark.parametrize(("count", "said"), [(1213, ["2 of 1,213; --limit takes more."]), (2, [])])
def test_a_list_that_a_limit_cut_says_how_long_it_is(assay, peer, store, capsys, count, said):
    page = {"results": [{"id": 1}, {"id": 2}], "count": count, "next": "more" if said else None}
    peer.answers_with("GET alerts", page)

    assert assay("alerts", "list", "--limit", "2") == 0

    assert capsys.readouterr().err.splitlines() == said
    found = store.alerts(limit=2)
    assert (found, found.total) == (page["results"], count)


@pytest.mark.parametrize(("status", "is_shown"), [(500, True), (409, False)])
def test_what_the_server_failed_at_is_named_as_its_log_names_it(
    assay, peer, capsys, status, is_shown
):
    peer.answers_with("GET runs/7", {"detail": "No."}, status, X_Request_Id="b49f")

    assert assay("runs", "describe", "7") == 1

    said = "The server's log has it under request_id b49f."
    assert capsys.readouterr().err.splitlines() == ["error: No.", *[said] * is_shown]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["materialize", "yesterday", "2026-01-01"],
        ["get-online-features", "-f", "v:x", "-e", "user_id"],
        ["get-online-features", "-f", "v:x", "-e", "user_id:=nope"],
    ],
)
def test_wrong_usage_exits_with_2(argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)

    assert caught.value.code == 2


def test_offline_files_are_shown_one_a_line(assay, peer, capsys):
    answer = {
        "feature_view": "v",
        "version": "1.0.0",
        "delta_version": 3,
        "rows": 12,
        "warnings": ["v@1.0.0 is deprecated."],
        "columns": [{"name": "user_id", "type": "int64"}],
        "files": [{"uri": "/o/a.parquet", "rows": 12, "first_event": None, "last_event": None}],
    }
    peer.answers_with("GET offline-files", answer)

    assert assay("offline-files", "v", "--end", "2026-01-02") == 0
    shown = capsys.readouterr()
    assert "warning: v@1.0.0 is deprecated." in shown.err
    assert any(line.split()[:2] == ["/o/a.parquet", "12"] for line in shown.out.splitlines())
    assert assay("offline-files", "v", "--json") == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert peer.requests[0].query == {"feature_view": ["v"], "end": ["2026-01-02T00:00:00Z"]}


def test_drift_is_shown_by_feature_and_a_baseline_is_set(assay, peer, capsys):
    said = {"rows": 60, "nulls": 6, "mean": 0.9, "quantiles": {"0.5": 0.91}}
    drift = {"baseline": {"psi": 4.125, "ks": 0.97, "mean": 4.5}}
    baseline = {
        "set_at": "2026-03-01T12:00:00Z", "set_by": "approval", "reason": None, "runs": 1,
        "first_run": 7, "last_run": 7, "rows": 200,
    }  # fmt: skip
    run = {"run": 9, "window_end": "…", "rows": 60, "features": {"rate": {**said, "drift": drift}}}
    span = {"span": "month", "starts_on": "2026-02-01", "runs": 31, "rows": 999}
    answer = {
        "baseline": baseline,
        "profile": {"columns": [{"name": "rate", **said}]},
        "before": [{**span, "features": {"rate": said}}],
    }
    path = "feature-views/v/versions/1.0.0"
    peer.answers_with(f"GET {path}/profile", {**answer, "runs": [run]})
    peer.answers_with(f"POST {path}/baseline", baseline)

    assert assay("profile", "v@1.0.0") == 0
    assert assay("profile", "v@1.0.0", "--feature", "rate", "--runs", "5") == 0
    assert assay("set-baseline", "v@1.0.0", "7", "--reason", "new prices") == 0
    assert assay("profile", "v") == 1

    shown = capsys.readouterr().out
    assert "baseline of 2026-03-01T12:00:00Z by approval: 200 rows of 1 run\n" in shown
    assert shown.count("4.125") == 2
    assert [line.split()[:3] for line in shown.splitlines() if "2026-02-01" in line] == [
        ["2026-02-01", "month", "31"]
    ]
    assert peer.requests[1].query == {"feature": ["rate"], "runs": ["5"]}
    assert peer.requests[2].json() == {"first_run": 7, "last_run": 7, "reason": "new prices"}


def test_a_budget_is_shown_and_set_and_what_is_left_out_is_not_sent(assay, peer, capsys):
    use = {"of": "disk", "used": 41943040, "budget": 52428800, "percent": 80, "days_left": 12}
    limits = {"disk_mb": 50, "online_keys": None, "memory_mb": None}
    answer = {
        "feature_view": "v", "limits": limits, "set_by": "steward", "set_at": "…",
        "reason": "a small disk", "uses": [use],
    }  # fmt: skip
    peer.answers_with("GET feature-views/v/budget", answer)
    peer.answers_with("POST feature-views/v/budget", answer)

    assert assay("budget", "v") == 0
    asked = ("--disk-mb", "50", "--online-keys", "default", "--reason", "a small disk")
    assert assay("set-budget", "v", *asked) == 0

    shown = capsys.readouterr().out
    assert shown.count("41943040") == 2
    assert shown.count("set for this view: 50 megabytes on disk; by steward: a small disk") == 2
    sent = {"disk_mb": 50, "online_keys": None, "reason": "a small disk"}
    assert peer.requests[1].json() == sent


CERTIFICATE = {
    "id": 9, "feature_view": "profile", "version": "1.0.0", "status": "different", "sample": None,
    "compared": 1000, "equal": 998, "missing": 2, "extra": 0, "different": 0, "repaired": 0,
    "finished_at": "2026-01-01T00:00:00Z", "error": None, "kind": "online",
    "examples": [{"kind": "missing", "key": "user_id=17"}],
}  # fmt: skip


def test_stores_that_differ_are_shown_and_exit_with_one(assay, peer, capsys):
    peer.answers_with("GET feature-views/profile", {"default_version": "1.0.0"})
    ask = "feature-views/profile/versions/1.0.0/compare"
    peer.answers_with(f"POST {ask}", CERTIFICATE | {"status": "queued"}, 202)
    peer.answers_with("GET certificates/9", CERTIFICATE | {"status": "running"})
    peer.answers_with("GET certificates/9", CERTIFICATE)

    assert assay("compare", "profile", "--full") == 1

    assert peer.requests[1].json() == {"full": True}
    said = capsys.readouterr()
    assert "user_id=17" in said.out
    assert said.err.endswith("error: profile@1.0.0: of 1000 rows 2 missing\n")


def test_stores_that_are_equal_exit_with_zero_and_certificates_are_listed(assay, peer, capsys):
    equal = CERTIFICATE | {"status": "equal", "equal": 1000, "missing": 0, "sample": 5}
    peer.answers_with("POST feature-views/profile/versions/1.0.0/compare", equal, 202)
    peer.answers_with("GET certificates/9", equal)
    peer.answers_with("GET certificates", {"count": 1, "next": None, "results": [equal]})

    assert assay("compare", "profile@1.0.0", "--sample", "5", "--repair") == 0
    assert assay("certificates", "--view", "profile", "--status", "equal") == 0

    assert peer.requests[0].json() == {"sample": 5, "repair": True}
    assert capsys.readouterr().out.count("sample 5") == 2


def test_refused_rows_are_listed_and_decided_on(assay, peer, capsys):
    row = {
        "keys": {"driver_id": 1001},
        "event_timestamp": "2026-03-01T10:00:00Z",
        "created_timestamp": "2026-03-01T10:00:00Z",
        "failed": ["trips: max", "paid"],
        "values": {"trips": 99},
        "held_by": {
            "trips: unique": {"keys": {"driver_id": 1002}, "event_timestamp": "2026-03-01"}
        },
    }
    held = {"run": 7, "state": "held", "rows": 3, "rows_shown": True, "next": "0:4"}
    peer.answers_with("GET runs/7/quarantine", held | {"results": [row]})
    peer.answers_with("POST runs/7/quarantine/release", {"id": 9}, 202)
    peer.answers_with("POST runs/7/quarantine/discard", {"run": 7, "rows": 3})

    assert assay("runs", "quarantine", "7", "--limit", "1", "--cursor", "0:2") == 0
    assert assay("runs", "release", "7", "--reason", "seen") == 0
    assert assay("runs", "discard", "7", "--reason", "no") == 0

    said = capsys.readouterr()
    assert all(word in said.out for word in ("1001", "trips: max, paid", "trips: 99", "held"))
    assert "driver_id: 1002 since 2026-03-01" in said.out
    assert "--cursor 0:4" in said.err
    assert "assay runs watch 9" in said.out
    assert "3 rows of run 7 are thrown away" in said.out
    assert peer.requests[0].query == {"limit": ["1"], "cursor": ["0:2"]}
    assert [sent.json() for sent in peer.requests[1:]] == [{"reason": "seen"}, {"reason": "no"}]


def test_all_refused_rows_are_one_list_of_as_few_pages_as_there_can_be(assay, peer, capsys):
    row = {"keys": {"driver_id": 1}, "event_timestamp": "2026-03-01", "failed": [], "values": {}}
    held = {"run": 7, "state": "held", "rows": 3, "rows_shown": True}
    for number, after in ((1, "0:1"), (2, None)):
        page = {"next": after, "results": [row | {"keys": {"driver_id": number}}]}
        peer.answers_with("GET runs/7/quarantine", held | page)

    assert assay("runs", "quarantine", "7", "--all", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert [each["keys"]["driver_id"] for each in found["results"]] == [1, 2]
    assert [sent.query for sent in peer.requests] == [
        {"limit": ["500"]},
        {"limit": ["500"], "cursor": ["0:1"]},
    ]


def test_a_recompute_says_ticks_as_ticks_and_ends_where_it_was_compared_until(assay, peer, capsys):
    counts = {"of_ticks": True, "already_stored": 1134, "copies": 12}
    run = {**RUN, "kind": "recompute", "rows_read": 500, "source": counts}
    run["window_end"] = "2026-11-26T00:00:00Z"
    peer.answers_with("GET runs/7", run)
    peer.answers_with("GET runs", {"results": [{**run, "compared_until": "2022-04-12T00:00:00Z"}]})

    assay("runs", "watch", "7")
    said = capsys.readouterr().out
    assert "1134 ticks are as they were, computed of 500 rows" in said
    assert "12 rows are copies of others, equal in all they hold, and each counts" in said

    assay("runs", "list")
    said = capsys.readouterr().out
    assert "2022-04-12" in said
    assert "2026-11-26T00" not in said


def test_a_version_is_computed_again(assay, peer, capsys):
    run = {"id": 7, "feature_view": "profile", "version": "1.0.0", "kind": "recompute"}
    run |= {"status": "succeeded", "step": "done", "progress": 1.0, "chunks": 2, "chunks_done": 2}
    run |= {"rows_read": 9, "rows_offline": 2, "rows_online": 2}
    counts = {"already_stored": 7, "corrected": 2, "late": 2, "gone": 3, "repeated": 4}
    counts["why_gone"] = "the source begins later"
    peer.answers_with("POST feature-views/profile/versions/1.0.0/backfill", run, 202)
    peer.answers_with("GET runs/7", run | {"source": counts})

    assert assay("backfill", "profile@1.0.0", "--from", "2026-01-01") == 0

    said = capsys.readouterr().out
    assert "2 rows differ from what was stored and were stored as corrections" in said
    assert "4 rows were given twice" in said
    assert "3 stored rows have none in the source any more; they stay" in said
    assert "ticks that stay as they are: the source begins later" in said
    with pytest.raises(SystemExit):
        assay("backfill", "profile")
    assert "write VIEW@VERSION" in capsys.readouterr().err


def test_a_run_is_described_in_lines_and_tables_to_the_innermost(assay, peer, capsys):
    fare = {"name": "fare", "mean": 2.5, "quantiles": {"0.5": 2}, "top": [["low", 3], ["high", 1]]}
    checks = [{"check": "min", "feature": "fare", "passed": True}]
    profile = {"rows": 12, "sampled": 12, "columns": [fare]}
    peer.answers_with("GET runs/7", RUN | {"checks": checks, "profile": profile})

    assert assay("runs", "describe", "7") == 0
    shown = capsys.readouterr().out
    assert not set(shown) & set('{}[]"')
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "profile, columns fare" in lines
    assert {"quantiles 0.5=2", "top low, 3; high, 1", "CHECK FEATURE PASSED"} <= set(lines)


def test_views_are_listed_with_what_they_promise_and_those_overdue_alone(assay, peer, capsys):
    def view(name, age, *, overdue):
        said = {"promise": "2h", "covered_until": None, "age_seconds": age, "overdue": overdue}
        version = {"version": "1.0.0", "state": "approved", "freshness": said}
        return {"name": name, "default_version": "1.0.0", "features": [], "versions": [version]}

    views = [view("late", 9000.0, overdue=True), view("fresh", 60.5, overdue=False)]
    peer.answers_with("GET feature-views", {"count": 2, "results": views, "next": None})

    assert assay("feature-views", "list") == 0
    shown = capsys.readouterr().out
    assert "2:30:00 old, promised 2h, overdue" in shown
    assert "0:01:00 old, promised 2h " in shown
    assert assay("feature-views", "list", "--overdue") == 0
    shown = capsys.readouterr().out
    assert "late" in shown
    assert "fresh " not in shown


def test_search_prints_what_was_found_what_was_guessed_and_how_to_narrow(assay, peer, capsys):
    row = {"reference": "spend:sum_3d", "type": "float64", "state": "approved", "owner": "growth"}
    facets = {"owner": [{"value": "growth", "count": 60}, {"value": "rides", "count": 1}]}
    answer = {"count": 61, "results": [row], "facets": facets, "guessed": {"spnd": ["spend"]}}
    peer.answers_with("GET features", answer)

    assert assay("search", "spnd", "3d", "--owner", "growth", "--limit", "1") == 0

    printed = capsys.readouterr()
    assert "spend:sum_3d" in printed.out
    assert "nothing has 'spnd'; searched spend" in printed.err
    assert "and 60 more; narrow by --owner growth (60), rides (1)" in printed.err
    query = peer.requests[0].query
    assert (query["q"], query["owner"], query["limit"]) == (["spnd 3d"], ["growth"], ["1"])


def test_lineage_prints_what_is_above_first(assay, peer, capsys):
    steps = [
        {"kind": "feature", "name": "spend:sum", "distance": 0, "via": [], "via_count": 0},
        {
            "kind": "column", "name": "purchases.amount", "distance": -1, "via_count": 1,
            "via": [{"kind": "feature", "name": "spend:sum", "as": "value"}],
        },
    ]  # fmt: skip
    peer.answers_with("GET lineage/feature/spend%3Asum", {"results": steps, "next": None})

    assert assay("lineage", "feature", "spend:sum", "--depth", "2") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["-1", "column", "purchases.amount", "spend:sum", "-"]
    assert lines[2].split()[:3] == ["0", "feature", "spend:sum"]
    assert peer.requests[0].query["depth"] == ["2"]


def test_a_proposal_is_listed_and_decided_on(assay, peer, capsys):
    proposal = {"id": 4, "does": "make ana steward of rides", "state": "proposed"}
    proposal |= {"proposed_by": "olaf", "expires_at": "2026-12-31T00:00:00Z", "decided_by": None}
    proposal |= {"could_agree": ["root", "petra"]}
    peer.answers_with("GET proposals", {"count": 1, "next": None, "results": [proposal]})
    peer.answers_with("POST proposals/4/accept", proposal | {"state": "accepted"})

    assert assay("proposals", "list", "--state", "proposed") == 0
    assert "root, petra" in capsys.readouterr().out
    assert assay("proposals", "accept", "4", "--comment", "fine") == 0
    assert "accepted" in capsys.readouterr().out

    assert peer.requests[1].json() == {"comment": "fine"}
    with pytest.raises(SystemExit):
        assay("proposals", "refuse", "4")


ACCOUNT = {"user": "ana", "kind": "person", "email": "", "is_active": True, "is_staff": True}
ACCOUNT |= {"is_superuser": False, "login": True}
WAITS = {"id": 4, "does": "give ana another password", "could_agree": ["root", "petra"]}


def test_an_account_is_changed_and_what_waits_is_said(assay, peer, capsys):
    peer.answers_with(
        "POST /api/v1/accounts/change", {"account": ACCOUNT, "proposal": WAITS, "alone": False}
    )
    peer.answers_with("GET /api/v1/accounts", {"count": 1, "next": None, "results": [ACCOUNT]})

    assert assay("accounts", "change", "ana", "--superuser", "true", "--first-name", "Ana") == 0
    assert "assay proposals accept 4 --everywhere" in capsys.readouterr().out
    assert assay("accounts", "list", "ana") == 0
    assert "ana" in capsys.readouterr().out
    assert assay("accounts", "change", "ana") == 1

    sent = {"user": "ana", "is_superuser": True, "first_name": "Ana"}
    assert peer.requests[0].json() == sent
    assert peer.requests[1].query["user"] == ["ana"]


def test_a_password_is_read_and_never_an_argument(assay, peer, capsys, monkeypatch):
    answer = {"account": ACCOUNT, "proposal": None, "alone": True}
    peer.answers_with("POST /api/v1/accounts/password", answer)
    monkeypatch.setattr("sys.stdin", io.StringIO("quite-a-long-one\n"))

    assert assay("accounts", "password", "ana") == 0

    said = capsys.readouterr()
    assert "quite-a-long-one" not in said.out + said.err
    assert "the trail says so" in said.err
    assert peer.requests[0].json() == {"user": "ana", "password": "quite-a-long-one"}
    with pytest.raises(SystemExit):
        assay("accounts", "password", "ana", "quite-a-long-one")


def test_proposals_of_accounts_are_everywhere(assay, peer, capsys):
    about = {"state": "accepted", "proposed_by": "olaf", "expires_at": None, "decided_by": "root"}
    peer.answers_with(
        "GET /api/v1/proposals", {"count": 1, "next": None, "results": [WAITS | about]}
    )
    peer.answers_with("POST /api/v1/proposals/4/accept", WAITS | about)

    assert assay("proposals", "list", "--everywhere") == 0
    assert assay("proposals", "accept", "4", "--everywhere") == 0
    assert "accepted" in capsys.readouterr().out


def test_a_grant_is_asked_for_given_and_listed(assay, peer, capsys):
    grant = {"id": 7, "user": "churn", "feature_view": None, "level": "confidential"}
    grant |= {"state": "active", "ends_at": "2026-12-31T00:00:00Z", "purpose": "scores"}
    grant |= {"asked_by": "ana", "decided_by": "owner", "unseconded": True}
    peer.answers_with("POST grants", grant, 201)
    peer.answers_with("POST grants/7/give", grant)
    peer.answers_with("GET grants", {"count": 1, "next": None, "results": [grant]})

    what = ("--level", "confidential", "--purpose", "scores", "--user", "churn")
    assert assay("grants", "ask", *what, "--until", "2026-12-31") == 0
    assert assay("grants", "give", "7") == 0
    assert assay("grants", "list", "--state", "ending") == 0

    sent = peer.requests[0].json()
    assert sent == {
        "purpose": "scores",
        "ends_at": "2026-12-31T00:00:00Z",
        "level": "confidential",
        "user": "churn",
    }
    assert peer.requests[2].query == {"state": ["ending"], "limit": ["50"], "offset": ["0"]}
    said = capsys.readouterr().out
    assert "up to confidential" in said
    assert "there was no second pair of eyes" in said


def test_how_long_a_grant_lasts_has_to_be_said(assay, capsys):
    for end in ((), ("--days", "soon")):
        with pytest.raises(SystemExit):
            assay("grants", "ask", "--view", "v", "--purpose", "scores", *end)
    assert "'soon' is not a number of days" in capsys.readouterr().err


def test_questions_are_asked_and_shown_with_their_answers(assay, peer, capsys):
    question = {
        "id": 7, "feature": "spend:sum", "text": "Per day?", "asked_by": "cara", "accepted": 9,
        "closed_at": None, "answers": [{"id": 9, "answered_by": "ana", "text": "Yes."}],
    }  # fmt: skip
    peer.answers_with("POST questions", question)
    peer.answers_with("GET questions", {"results": [question], "next": None})
    peer.answers_with("POST questions/7/accept", question)

    assert assay("questions", "ask", "spend:sum", "Per day?") == 0
    assert assay("questions", "list", "spend:sum", "--state", "open") == 0
    assert assay("questions", "accept", "7", "9") == 0

    assert capsys.readouterr().out.count("9  ana (accepted): Yes.") == 3
    assert peer.requests[1].query["feature"] == ["spend:sum"]


def test_a_feature_is_shown_with_how_to_read_it(assay, peer, capsys):
    ways = [{"title": "curl", "says": "over HTTP", "text": "curl x\n"}]
    found = {"reference": "spend:sum", "type": "float64", "how_to_read": ways}
    peer.answers_with("GET features/spend%3Asum", found)

    assert assay("feature", "spend:sum") == 0

    printed = capsys.readouterr().out
    assert "float64" in printed
    assert printed.rstrip().endswith("curl: over HTTP\ncurl x")
