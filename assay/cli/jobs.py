"""Subcommands for training sets that the server puts together while nobody waits for an answer.
Not for those that are answered at once: ``reads`` has those.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.all_entities import AllEntities
from assay.cli.arguments import Commands, Context
from assay.entity_query import EntityQuery
from assay.historical_job import HistoricalJob, require_parquet
from assay.shapes import JSON

COLUMNS = ("id", "status", "progress", "requested_by", "requested_at", "expires_at")


def add(commands: Commands) -> None:
    group = commands.group("historical-jobs", "Training sets that are made as jobs.")
    listing = group.add("list", run_list, "List jobs, newest first.")
    listing.add_argument("--status", help="queued, running, done, failed, cancelled, ended")
    listing.add_argument("--limit", type=int, default=20)
    show = group.add("show", run_show, "Show how far a job is.")
    cancel = group.add("cancel", run_cancel, "End a job, and remove what it made.")
    download = group.add("download", run_download, "Wait for a job, and write its rows to a file.")
    for one in (show, cancel, download):
        one.add_argument("job_id", metavar="ID", type=int)
    download.add_argument("-o", "--output", required=True, metavar="OUT", help=".parquet")


def add_options(history: argparse.ArgumentParser) -> None:
    """Add what ``get-historical-features`` says of jobs."""
    history.add_argument(
        "--as-job", action="store_true", help="have a worker make it: more rows, into a .parquet"
    )


def run_as_job(
    context: Context, frame: str | AllEntities | EntityQuery, output: str, asked: JSON
) -> HistoricalJob:
    """Ask for a training set as a job, wait for it and write its rows to a file."""
    require_parquet(output)
    about = Path(frame) if isinstance(frame, str) else frame
    job = context.store.request_historical_features(about, **asked)
    context.out.progress(f"historical job {job.id}; Ctrl-C leaves it to the server")
    return _fetched(context, job, output)


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.historical_jobs(status=args.status, limit=args.limit)
    context.out.rows(found, COLUMNS)


def run_show(context: Context, args: argparse.Namespace) -> None:
    _show(context, context.store.get_historical_job(args.job_id))


def run_cancel(context: Context, args: argparse.Namespace) -> None:
    _show(context, context.store.get_historical_job(args.job_id).cancel())


def run_download(context: Context, args: argparse.Namespace) -> None:
    require_parquet(args.output)
    job = _fetched(context, context.store.get_historical_job(args.job_id), args.output)
    if context.out.as_json:
        context.out.json({"output": args.output, "warnings": job.warnings})
    else:
        context.out.line(f"wrote {args.output}")


def _fetched(context: Context, job: HistoricalJob, output: str) -> HistoricalJob:
    job.write(output)
    for warning in job.warnings:
        context.out.note(f"warning: {warning}", "yellow")
    return job


def _show(context: Context, job: HistoricalJob) -> None:
    found = job.to_dict()
    context.out.json(found) if context.out.as_json else context.out.describe(found)
