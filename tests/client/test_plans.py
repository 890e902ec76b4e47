"""``assay plan`` for people, programs and pull requests: what is written, and with what it ends."""

from __future__ import annotations

import html
import json
import re

import pytest
from markdown_it import MarkdownIt

from assay.cli import github, main

NASTY = "@octocat <img src=x onerror=alert(1)> | `a` [b](http://c) #1 **d** www.e.org \\| ![f](g)"
BREAK = {"kind": "FeatureService", "name": "eta", "why": ["no conv_rate"]}


def change(name="spend", **also):
    return {
        "kind": "FeatureView",
        "name": name,
        "change": "updated",
        "class": "major",
        "version": "2.0.0",
        "state": "draft",
        "reasons": ["x removed"],
        "warnings": [],
        "file": "features/spend.yaml",
        "line": 3,
        "because_of": [],
        "differences": [{"path": "view.ttl", "lines": "- 30d\n+ 3d"}],
        "breaks": [],
        "following": [],
        "pinned": [],
        **also,
    }


def plan(*changes):
    return {"project": "rides", "dry_run": True, "not_looked_at": 0, "changes": list(changes)}


@pytest.fixture
def assay(peer, tmp_path):
    """Plan one file against the peer; give the exit code."""
    (tmp_path / "a.yaml").write_text("kind: FeatureView\n")
    given = ["--url", peer.url, "--token", "t", "--project", "rides"]
    return lambda *argv: main([*given, "plan", str(tmp_path / "a.yaml"), *argv])


def rendered(markdown):
    return MarkdownIt("commonmark").enable("table").render(markdown)


@pytest.mark.parametrize(
    ("fail_on", "found", "code"),
    [
        ("none", change(breaks=[BREAK]), 0),
        ("breaking", change(), 0),
        ("breaking", change(breaks=[BREAK], **{"class": "minor"}), 5),
        ("major", change(), 5),
        ("major", change(breaks=[BREAK], **{"class": "minor"}), 5),
        ("major", change(**{"class": "guard"}), 0),
    ],
)
@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_the_exit_code_says_whether_it_is_more_than_is_taken(
    assay, peer, capsys, form, fail_on, found, code
):
    peer.answers_with("POST definitions", plan(found))

    assert assay("--format", form, "--fail-on", fail_on) == code

    shown = capsys.readouterr()
    assert shown.out  # the plan is told, whatever becomes of it
    assert (f"--fail-on {fail_on}" in shown.err) == bool(code)
    assert peer.requests[0].query == {"dry_run": ["true"], "details": ["true"]}


def test_json_has_every_change_and_a_summary(assay, peer, capsys):
    peer.answers_with("POST definitions", plan(change(breaks=[BREAK]), change("b")))

    assert assay("--format", "json", "--submit") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["summary"] == {"objects": 2, "changed": 2, "major": 2, "breaking": 1}
    assert told["changes"][0]["breaks"] == [BREAK]
    assert peer.requests[0].query["submit"] == ["true"]


def test_the_text_names_what_breaks_once(assay, peer, capsys):
    warnings = ["as the default it breaks eta (no conv_rate)", "bulk load"]
    peer.answers_with("POST definitions", plan(change(breaks=[BREAK], warnings=warnings)))

    assert assay() == 0

    shown = capsys.readouterr()
    assert "FeatureView spend: breaks FeatureService eta: no conv_rate" in shown.out
    assert "as the default" not in shown.err
    assert "bulk load" in shown.err


def test_the_comment_tells_breaks_objects_readers_and_differences():
    told = plan(
        change(
            breaks=[BREAK], following=["eta"], pinned=["old: spend@1.0.0:x"], because_of=["orders"]
        ),
        change("same", change="unchanged", differences=[]),
    )

    comment = github.plan_comment(told)

    assert comment.startswith("<!-- assay plan of rides -->\n")
    page = html.unescape(re.sub(r"<[^>]*>", "", rendered(comment)))
    assert "1 of 2 objects change, 1 of the class major, 1 breaks what reads it." in page
    assert "FeatureView spend breaks FeatureService eta: no conv_rate" in page
    assert "x removedfollows orders" in page.replace("\n", "")
    assert "follow its default: eta" in page
    assert "pinned, and go on as they are: old: spend@1.0.0:x" in page
    assert "@@ view.ttl @@\n- 30d\n+ 3d" in page


@pytest.mark.parametrize("where", ["reasons", "warnings", "following", "pinned", "because_of"])
def test_words_of_definitions_stay_words_in_a_comment(where):
    found = change(**{where: [NASTY]})
    found["breaks"] = [{"kind": "FeatureService", "name": "eta", "why": [NASTY]}]

    page = rendered(github.plan_comment(plan(found)))

    assert f"{NASTY}" in html.unescape(page)
    assert not re.search(r"<(a|img|script|em|strong>@)", page)
    outside = re.sub(r"<code>.*?</code>", "", page, flags=re.DOTALL)
    assert "octocat" not in outside  # nobody is mentioned within <code>
    assert len(re.findall("<td>", page)) in (0, 5)


def test_a_difference_cannot_leave_its_block():
    lines = "- a\n+ ```\n+ ````\n+ </details> @octocat"
    found = change(differences=[{"path": "view.sql", "lines": lines}])

    page = rendered(github.plan_comment(plan(found)))

    (block,) = re.findall(r"<pre>.*?</pre>", page, flags=re.DOTALL)
    assert "+ ````" in block
    assert "octocat" in block
    assert "octocat" not in page.replace(block, "")


def test_long_texts_are_folded_around_their_changes():
    lines = [f"  line {number}" for number in range(40)]
    lines[20] = "+ line 20"
    found = change(differences=[{"path": "view.sql", "lines": "\n".join(lines)}])

    comment = github.plan_comment(plan(found))

    assert "@@ 17 lines as before @@" in comment
    assert "line 17\n" in comment
    assert "line 16\n" not in comment


def test_a_comment_is_no_longer_than_is_taken_and_says_what_it_left_out():
    wide = [{"path": "view.sql", "lines": "+ é" * 3_000}]
    many = [change(f"view_{n}", differences=wide, warnings=["w" * 300]) for n in range(400)]
    many[399]["breaks"] = [BREAK]

    comment = github.plan_comment(plan(*many))

    assert len(comment.encode()) <= 65_536
    assert "<code>FeatureService eta&#58; no conv&#95;rate</code>" in comment
    left_out = comment.rstrip().rsplit("\n", 1)[-1]
    assert left_out.startswith("_Left out, as a comment holds no more: ")
    assert re.search(r"\d+ warnings, 400 differences", left_out)


def test_what_is_refused_is_a_comment_too(assay, peer, capsys):
    error = {"file": "f.yaml", "line": 4, "key": "ttl", "value": "x", "message": f"bad {NASTY}"}
    refusal = {"code": "invalid_definition", "detail": "…", "errors": [error]}
    peer.answers_with("POST definitions", refusal, status=422)

    assert assay("--format", "github", "--annotate") == 1

    shown = capsys.readouterr()
    assert "**Refused: 1 problem.**" in shown.out
    assert "octocat" not in re.sub(r"<code>.*?</code>", "", rendered(shown.out))
    assert "::error file=f.yaml,line=4::ttl: bad" in shown.err


def test_annotations_point_at_lines_and_cannot_be_forged(assay, peer, capsys):
    breaks = [{"kind": "FeatureService", "name": "eta", "why": ["x\n::error::forged"]}]
    found = change(breaks=breaks, warnings=["100 % late"], file="a,b:c.yaml")
    peer.answers_with("POST definitions", plan(found))

    assert assay("--annotate") == 0

    commands = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    at = "file=a%2Cb%3Ac.yaml,line=3::FeatureView spend"
    assert commands == [
        f"::error {at}: breaks FeatureService eta: x%0A::error::forged",
        f"::warning {at}: 100 %25 late",
    ]
