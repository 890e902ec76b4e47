"""Subcommands about rows that checks refused: look at them, release them, discard them.
Not for runs themselves.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

#: Rows that a look shows without being told how many.
SHOWN = 20
#: Rows of one answer where all are asked for: as many as the server gives.
PAGE = 500


def add(runs: Commands) -> None:
    look = runs.add("quarantine", run_quarantine, "Show the rows that a run's checks refused.")
    look.add_argument("run_id", metavar="ID", type=int)
    look.add_argument("--limit", type=int, default=SHOWN, help=f"rows, default {SHOWN}")
    look.add_argument("--cursor", help="where the page before ended")
    look.add_argument("--all", action="store_true", help=f"all rows, in pages of {PAGE}")
    for name, run, text in (
        ("release", run_release, "Publish refused rows as they are."),
        ("discard", run_discard, "Throw refused rows away."),
    ):
        parser = runs.add(name, run, text)
        parser.add_argument("run_id", metavar="ID", type=int)
        parser.add_argument("--reason", required=True, help="why; the audit trail keeps it")


def run_quarantine(context: Context, args: argparse.Namespace) -> None:
    out = context.out
    limit = PAGE if args.all else args.limit
    found = context.store.quarantine(args.run_id, limit=limit, cursor=args.cursor)
    while args.all and found["next"]:
        page = context.store.quarantine(args.run_id, limit=limit, cursor=found["next"])
        found = {**page, "results": [*found["results"], *page["results"]]}
        out.progress(f"{len(found['results'])} rows so far")
    if out.as_json:
        out.json(found)
        return
    rows = found.pop("results")
    out.describe(found)
    if rows:
        columns = [*rows[0]["keys"], "event_timestamp", "failed", "values"]
        if any(row.get("held_by") for row in rows):
            columns.append("held_by")
        out.table([_row(row) for row in rows], columns)
    elif found["rows_shown"]:
        out.note("no row fails by itself, or they are not held any more")
    elif withheld := found.get("withheld"):
        out.note(f"the rows are withheld: {', '.join(withheld)} take a grant (assay grants ask)")
    else:
        out.note("the rows are for those who hold read_offline on the view")
    if found["next"]:
        out.note(f"more: --cursor {found['next']}")


def run_release(context: Context, args: argparse.Namespace) -> None:
    run = context.store.release_quarantine(args.run_id, reason=args.reason)
    if context.out.as_json:
        context.out.json(run)
    else:
        context.out.line(f"run {run['id']} publishes them: assay runs watch {run['id']}")


def run_discard(context: Context, args: argparse.Namespace) -> None:
    found = context.store.discard_quarantine(args.run_id, reason=args.reason)
    if context.out.as_json:
        context.out.json(found)
    else:
        context.out.line(f"{found['rows']:,} rows of run {found['run']} are thrown away")


def _row(row: JSON) -> JSON:
    values = ", ".join(f"{name}: {value}" for name, value in row["values"].items())
    return {
        **row["keys"],
        "event_timestamp": row["event_timestamp"],
        "failed": ", ".join(row["failed"]),
        "values": values,
        "held_by": "; ".join(map(_holder, (row.get("held_by") or {}).values())),
    }


def _holder(found: JSON) -> str:
    keys = ", ".join(f"{name}: {value}" for name, value in found["keys"].items())
    return f"{keys} since {found['event_timestamp']}"
