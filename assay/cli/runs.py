"""Subcommands that fill the stores and follow runs.
Not for schedules; the server starts those runs itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from assay.cli import quarantine
from assay.cli.arguments import Commands, Context, instant_argument
from assay.cli.output import Output
from assay.progress import step_of
from assay.references import split_reference
from assay.runs import STATUSES
from assay.shapes import JSON

COLUMNS = (
    ("id", "view", "kind", "window_start", "window_end", "status", "progress")
    + ("rows_offline", "rows_online", "requested_by")
)  # fmt: skip
DONE_COLUMNS = ("id", "view", "status", "rows_read", "rows_offline", "rows_online")


def add(commands: Commands) -> None:
    materialize = commands.add("materialize", run_materialize, "Compute and load a time range.")
    materialize.add_argument("start", metavar="START", type=instant_argument, help="exclusive, UTC")
    _add_end(materialize)
    incremental = commands.add(
        "materialize-incremental", run_materialize, "Compute and load what is missing up to END."
    )
    _add_end(incremental)
    backfill = commands.add("backfill", run_backfill, "Compute one version again, or a part of it.")
    backfill.add_argument("reference", metavar="VIEW@VERSION", type=_version)
    backfill.add_argument(
        "--from", dest="start", metavar="INSTANT", type=instant_argument, help="exclusive, UTC"
    )
    backfill.add_argument(
        "--to", dest="end", metavar="INSTANT", type=instant_argument, help="inclusive, UTC"
    )
    backfill.add_argument("--no-wait", action="store_true", help="return once the run is queued")
    runs = commands.group("runs", "Materialization runs.")
    listing = runs.add("list", run_list, "List runs.")
    listing.add_argument("--view", metavar="NAME")
    listing.add_argument("--status", help=", ".join(STATUSES))
    listing.add_argument("--limit", type=int, default=20)
    for name, run, text in (
        ("describe", run_describe, "Show one run."),
        ("watch", run_watch, "Follow a run until it ends."),
        ("cancel", run_cancel, "Cancel a run; what it stored stays."),
        ("pause", run_pause, "Let a run lie."),
        ("resume", run_resume, "Let a paused run go on where it stopped."),
    ):
        runs.add(name, run, text).add_argument("run_id", metavar="ID", type=int)
    quarantine.add(runs)


def _version(text: str) -> tuple[str, str]:
    view, version = split_reference(text)
    if not version:
        raise argparse.ArgumentTypeError(f"{text!r}: write VIEW@VERSION, as in spend@1.0.0")
    return view, version


def _add_end(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("end", metavar="END", type=instant_argument, help="inclusive, UTC")
    views = {"nargs": "+", "action": "extend", "metavar": "VIEW"}
    parser.add_argument("-v", "--views", help="only these; default: all", **views)  # type: ignore[arg-type]
    parser.add_argument("--no-wait", action="store_true", help="return once runs are queued")


def run_materialize(context: Context, args: argparse.Namespace) -> None:
    start: datetime | None = getattr(args, "start", None)
    if start is None:
        runs = context.store.materialize_incremental(args.end, args.views)
    else:
        runs = context.store.materialize(start, args.end, args.views)
    if not runs:
        context.out.note("nothing to do: no approved version misses anything in that range")
    if runs and not args.no_wait:
        runs = follow(context, [run["id"] for run in runs])
    if args.no_wait:
        _show(context.out, runs, COLUMNS)
    else:
        _show_done(context.out, runs)


def run_backfill(context: Context, args: argparse.Namespace) -> None:
    view, version = args.reference
    runs = [context.store.backfill(view, version, args.start, args.end)]
    if args.no_wait:
        _show(context.out, runs, COLUMNS)
    else:
        _show_done(context.out, follow(context, [run["id"] for run in runs]))


def run_list(context: Context, args: argparse.Namespace) -> None:
    runs = context.store.runs(feature_view=args.view, status=args.status, limit=args.limit)
    _show(context.out, runs, COLUMNS)


def run_describe(context: Context, args: argparse.Namespace) -> None:
    _describe(context.out, context.store.get_run(args.run_id))


def run_watch(context: Context, args: argparse.Namespace) -> None:
    _show_done(context.out, follow(context, [args.run_id]))


def run_cancel(context: Context, args: argparse.Namespace) -> None:
    _describe(context.out, context.store.cancel_run(args.run_id))


def run_pause(context: Context, args: argparse.Namespace) -> None:
    _describe(context.out, context.store.pause_run(args.run_id))


def run_resume(context: Context, args: argparse.Namespace) -> None:
    _describe(context.out, context.store.resume_run(args.run_id))


def follow(context: Context, run_ids: list[int]) -> list[JSON]:
    """Wait for runs; a bar for each on a terminal, else a line for each step."""
    # At a terminal the call itself shows a bar for each.
    tell = None if context.out.err.is_terminal else _lines(context.out)
    try:
        return context.store.wait_for_runs(run_ids, on_progress=tell)
    except KeyboardInterrupt:
        context.out.note("no longer watching; the runs go on (assay runs list, assay runs cancel)")
        raise


def _lines(out: Output) -> Callable[[JSON], None]:
    last: dict[int, tuple[Any, ...]] = {}

    def update(run: JSON) -> None:
        now = run["status"], run["step"], run.get("chunks_done")
        if last.get(run["id"]) != now and not out.as_json:
            said = f"{run['status']}, {step_of(run)} {run['progress']:.0%}"
            out.note(f"run {run['id']} {_view(run)}: {said}")
        last[run["id"]] = now

    return update


def _show(out: Output, runs: list[JSON], columns: tuple[str, ...]) -> None:
    out.rows(runs, columns, row=_row)


def _show_done(out: Output, runs: list[JSON]) -> None:
    _show(out, runs, DONE_COLUMNS)
    for run in runs if not out.as_json else ():
        for said in _said(run):
            out.line(f"run {run['id']} {_view(run)}: {said}")


def _said(run: JSON) -> Iterator[str]:
    """Say what the counts of a run do not show by themselves."""
    if run["kind"] == "reload":
        yield "already stored; loaded again"
    found = run.get("source") or {}
    of_what = "ticks" if found.get("of_ticks") else "rows"
    if run["kind"] == "again" and found.get("keeps_ticks"):
        yield (
            "ticks that are stored are never rewritten; rows that arrived late count from the next"
            f" tick on, and {run['rows_offline']} rows of new ticks were stored"
        )
    elif run["kind"] in ("again", "recompute"):
        same, read = found.get("already_stored", 0), run["rows_read"]
        of_rows = f"{same} of {read} rows were stored before"
        of_ticks = f"{same} ticks are as they were, computed of {read} rows"
        yield f"compared with the source again; {of_ticks if of_what == 'ticks' else of_rows}"
    if corrected := found.get("corrected"):
        yield f"{corrected} {of_what} differ from what was stored and were stored as corrections"
    if late := (found.get("late") or 0) - (corrected or 0):
        yield f"{late} {of_what} arrived late" if of_what == "rows" else f"{late} ticks were new"
    if gone := found.get("gone"):
        yield f"{gone} stored {of_what} have none in the source any more; they stay"
    if why := found.get("why_gone"):
        yield f"those are ticks that stay as they are: {why}"
    if repeated := found.get("repeated"):
        yield f"{repeated} rows were given twice, equal in all they hold, and left out"
    if dropped := found.get("dropped_null_key", 0) + found.get("dropped_null_time", 0):
        yield f"{dropped} rows without a key or an event time were left out"
    if copies := found.get("copies"):
        yield f"{copies} rows are copies of others, equal in all they hold, and each counts"
    if placeholders := found.get("placeholder_times"):
        yield f"{placeholders} rows have an event time that stands for none, as 1900 or 1970 do"
    if why := found.get("reads_again"):
        yield f"each chunk reads the source: {why}"
    if vanished := found.get("parts_gone"):
        yield (
            f"{vanished} files are not in the source any more, {found['first_gone']} first;"
            " what was stored of them stays"
        )
    if waiting := found.get("parts_waiting"):
        yield f"{waiting} files may still be written; the next run reads them"


def _describe(out: Output, run: JSON) -> None:
    if out.as_json:
        out.json(run)
    else:
        out.describe(run)


def _row(run: JSON) -> dict[str, Any]:
    """Return a line of the list; of what was compared up to an instant the window ends there."""
    end = run.get("compared_until") or run.get("window_end")
    return {**run, "view": _view(run), "progress": f"{run['progress']:.0%}", "window_end": end}


def _view(run: JSON) -> str:
    return f"{run['feature_view']}@{run['version']}"
