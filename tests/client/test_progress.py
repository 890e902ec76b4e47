"""What a terminal shows of calls that take long: how far they are; elsewhere nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from assay import progress
from tests import servers

DATASET = {"name": "churn", "version": 3, "status": "done", "rows": 1}
ROWS = b"PAR1 and so on"
SHA256 = hashlib.sha256(ROWS).hexdigest()
RUN = {"id": 7, "feature_view": "spend", "version": "1.0.0", "step": "offline", "progress": 0.5}


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def made(peer):
    """A dataset that is being made at the first look, and then can be fetched."""
    rows = {"sha256": SHA256, "size": len(ROWS), "content_hash": "0c"}
    manifest = {"manifest": {"rows": rows}, "manifest_hash": "0b"}
    peer.answers_with("GET datasets/churn/3", {**DATASET, "status": "running"})
    peer.answers_with("GET datasets/churn/3", DATASET)
    peer.answers_with("GET datasets/churn/3/manifest", manifest)
    peer.answers_with("GET datasets/churn/3/download", ROWS, ETag='"a"')


def test_a_dataset_is_waited_for_and_fetched_with_a_word_on_how_far_it_is(
    made, terminal, store, tmp_path, capsys
):
    store.wait_for_dataset("churn@3")
    waited = capsys.readouterr().err
    store.write_dataset("churn@3", tmp_path / "rows.parquet")
    fetched = capsys.readouterr().err

    assert "dataset churn@3: running" in waited
    assert "14/14 bytes" in fetched
    assert (tmp_path / "rows.parquet").read_bytes() == ROWS


def test_runs_have_a_bar_each(peer, terminal, store, capsys):
    peer.answers_with("GET runs/7", {**RUN, "status": "running"})
    peer.answers_with("GET runs/7", {**RUN, "status": "succeeded"})

    store.wait_for_run(7)

    shown = capsys.readouterr().err
    assert "run 7 spend@1.0.0, offline" in shown and " 50%" in shown


@pytest.mark.parametrize("where", ["a pipe", "a terminal that is told so", "a program's own eyes"])
def test_elsewhere_nothing_is_shown(made, store, capsys, monkeypatch, where):
    seen = []
    if where != "a pipe":
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    if where == "a terminal that is told so":
        monkeypatch.setenv("ASSAY_PROGRESS", "off")

    own = seen.append if where == "a program's own eyes" else None
    store.wait_for_dataset("churn@3", on_progress=own)

    shown = capsys.readouterr()
    assert (shown.out, shown.err, len(seen)) == ("", "", int(own is not None))


def test_of_calls_side_by_side_the_first_is_shown(terminal, capsys):
    with progress.looking(None, "the first", str) as first:
        with progress.looking(None, "the second", str) as second:
            second({"status": "running"})
        first({"status": "half"})
    with progress.looking(None, "a later one", str):
        pass

    shown = capsys.readouterr().err
    assert "the first: {'status': 'half'}" in shown and "a later one" in shown
    assert "the second" not in shown


def test_names_cannot_write_to_the_terminal(terminal, capsys):
    with progress.looking(None, "a\x1b[31mb [red]c[/red]", str):
        pass

    assert r"a\x1b[31mb [red]c[/red]" in capsys.readouterr().err


def test_who_has_no_terminal_does_not_load_what_draws_on_one():
    code = """
import assay, sys
assay.FeatureStore("http://127.0.0.1:9", "t", "p")
print("rich" in sys.modules)
"""

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=servers.ROOT
    )

    assert done.stdout.strip() == "False"
