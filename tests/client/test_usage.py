"""Who reads what, through the client and the command."""

from __future__ import annotations

import pytest

from assay import Invalid
from assay.cli import main

ROW = {
    "feature_view": "spend", "version": "1.2.0", "feature_service": "churn", "reader": "scorer",
    "door": "online", "through": "", "features": ["a"], "reads": 1200, "rows": 1300,
    "statuses": {"PRESENT": 1290, "NULL_VALUE": 0, "NOT_FOUND": 7, "OUTSIDE_MAX_AGE": 3},
    "seconds": {"mean": 0.0004, "p50_within": 0.0005, "p99_within": 0.002, "slowest": 0.1},
    "first_at": "2026-11-01T00:00:00+00:00", "last_at": "2026-11-27T00:00:00+00:00",
}  # fmt: skip

ABOUT = {"sees": "own", "since": "2026-10-28T12:00:00+00:00", "kept_days": 90, "dropped": 0,
         "counted_until": "2026-11-27T12:00:00+00:00"}  # fmt: skip


def used(*rows, **about):
    return {"results": list(rows), "next": None, "count": len(rows), **ABOUT, **about}


@pytest.fixture
def assay(peer):
    """Run the command against the peer; give its exit code."""
    return lambda *argv: main(["--url", peer.url, "--token", "t", "--project", "rides", *argv])


@pytest.mark.parametrize(
    ("reference", "sent"),
    [
        ("spend", {"view": ["spend"]}),
        ("spend@1.2.0", {"view": ["spend"], "version": ["1.2.0"]}),
        ("spend:a", {"view": ["spend"], "feature": ["a"]}),
        ("spend@1.2.0:a", {"view": ["spend"], "version": ["1.2.0"], "feature": ["a"]}),
    ],
)
def test_a_reference_says_what_of(peer, store, reference, sent):
    peer.answers_with("GET usage", used(ROW))

    found = store.usage(reference, days=7, by=["reader"])

    assert found == [ROW]
    assert found.to_dict() == {"results": [ROW], "total": 1, **ABOUT}

    query = {name: value for name, value in peer.requests[0].query.items() if name != "offset"}
    query.pop("limit")
    assert query == {**sent, "days": ["7"], "by": ["reader"]}


def test_a_version_that_is_said_twice_is_refused(store):
    with pytest.raises(Invalid, match="both say a version"):
        store.usage("spend@1.2.0", version="1.2.0")


def test_lines_that_the_server_tells_apart_look_different(assay, peer, capsys):
    rows = [ROW, ROW | {"through": "offer@1.0.0"}]
    peer.answers_with("GET usage", used(*rows))

    assert assay("usage", "spend") == 0

    columns = ["view", "version", "through", "service", "reader", "door"]
    assert peer.requests[0].query["by"] == [",".join(columns)]
    head, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "THROUGH" in head
    assert ["offer@1.0.0" in line for line in lines] == [False, True]


def test_the_command_shows_a_line_each(assay, peer, capsys):
    peer.answers_with("GET usage", used(ROW))

    assert assay("usage", "spend@1.2.0", "--reader", "scorer") == 0

    out = capsys.readouterr().out
    assert "scorer" in out
    assert "0.002 s" in out
    assert [word for word in out.splitlines()[1].split() if word == "10"] == ["10"]


def test_the_command_says_what_the_lines_are_lines_of(assay, peer, capsys):
    lacks = {"count": 213, "dropped": 1500, "counted_until": None}
    for answer in (used(ROW), used(ROW, ROW, sees="all", **lacks), used(dropped=None)):
        peer.answers_with("GET usage", answer)

    for _ in range(3):
        assert assay("usage") == 0

    captured = capsys.readouterr()
    about = "from 2026-10-28T12:00:00+00:00 to {}, kept for 90 days"
    until, unknown = (
        about.format(ABOUT["counted_until"]),
        about.format("an instant that cannot be told now"),
    )
    assert captured.err.splitlines() == [
        f"your own reads {until}.",
        f"all reads {unknown}; 1,500 reads of the server had no room and are missing.",
        "2 of 213; --limit takes more.",
        f"your own reads {until}; whether reads had no room cannot be told now.",
    ]
    assert "(none)" in captured.out


def test_the_command_says_that_nobody_took_the_time(assay, peer, capsys):
    seconds = dict.fromkeys(ROW["seconds"])
    peer.answers_with("GET usage", used({**ROW, "seconds": seconds}))

    assert assay("usage", "--by", "door") == 0

    out = capsys.readouterr().out
    assert "not timed" in out
    assert "more" not in out


def test_samples_are_shown_with_their_values(assay, peer, store, capsys):
    sample = {"version": "1.2.0", "at": "2026-03-01T12:00:00+00:00", "status": "PRESENT"}
    told = [{**sample, "value": 7.5}, sample]
    baseline = {"set_at": "2026-01-01T00:00:00+00:00", "rows": 9_000, "nulls": 0}
    one = {"version": "1.2.0", "since": sample["at"], "samples": 2_000, "statuses": {}}
    far = {**one, "baseline": baseline, "drift": {"psi": 0.25, "mean": "inf"}, "why_not": ""}
    few = {**one, "samples": 2, "baseline": None, "drift": {}, "why_not": "too few to say."}
    answer = {"samples": told, "samples_dropped": 3, "compared": [far, few]}
    peer.answers_with("GET usage", {"results": [], "next": None, **answer})

    assert assay("usage", "spend@1.2.0:total", "--samples", "20") == 0

    query = {"view": ["spend"], "version": ["1.2.0"], "feature": ["total"], "samples": ["20"]}
    assert peer.requests[0].query == {**query, "limit": ["1"]}
    first, second, dropped, *compared = capsys.readouterr().out.splitlines()[-5:]
    assert ("7.5" in first, "PRESENT" in second, "7.5" in second) == (True, True, False)
    assert dropped == "3 more values of the view had no room."
    since = f"samples since {sample['at']}"
    assert compared == [
        f"1.2.0: 2,000 {since}, against the baseline of {baseline['set_at']}; psi 0.25, mean inf.",
        f"1.2.0: 2 {since}; too few to say.",
    ]
    assert store.usage_samples("spend:total", most=20) == answer


@pytest.mark.parametrize(
    "beside",
    [["--reader", "ana"], ["--service", "churn"], ["--state", "retired"], ["--by", "day"],
     ["--limit", "3"]],
)  # fmt: skip
def test_what_says_nothing_about_samples_is_refused_beside_them(assay, peer, capsys, beside):
    with pytest.raises(SystemExit) as ended:
        assay("usage", "spend:total", "--samples", "9", "--days", "3", *beside)

    assert ended.value.code == 2
    assert f"--samples is of all reads; leave {beside[0]} out" in capsys.readouterr().err
    assert peer.requests == []
