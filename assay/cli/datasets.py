"""Subcommands for training sets that are kept.
Not for training sets that are answered at once: ``reads`` has those.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from assay.cli.arguments import Commands, Context, add_features, add_frame, frame_of, view_argument
from assay.cli.reads import named_views
from assay.dataset import Dataset, said
from assay.shapes import JSON

COLUMNS = ("name", "version", "status", "rows", "requested_by", "requested_at", "manifest_hash")


def add(commands: Commands) -> None:
    group = commands.group("datasets", "Training sets that are kept, and can be proven.")
    listing = group.add("list", run_list, "List datasets, newest first.")
    listing.add_argument("--name", metavar="NAME")
    listing.add_argument("--status", help="queued, running, done, failed, ended")
    listing.add_argument("--limit", type=int, default=20)
    create = group.add("create", run_create, "Have the next version of a dataset made.")
    create.add_argument("name", metavar="NAME")
    add_frame(create, ".parquet …")
    add_features(create)
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument("--timing", choices=("known", "event"), default="known")
    create.add_argument(
        "--view",
        action="append",
        type=view_argument,
        metavar="NAME[=VIEW][,KEY=COLUMN…]",
        help="a view under another name, and columns of FRAME that have its join keys",
    )
    create.add_argument(
        "--split",
        type=split_argument,
        metavar="JSON",
        help='as in \'{"by": "random", "shares": {"train": 0.8, "test": 0.2}, "seed": 7}\'',
    )
    create.add_argument("--expires", metavar="DURATION", help="how long it is kept, as in 90d")
    create.add_argument("--no-wait", action="store_true", help="return once it is queued")
    show = group.add("show", run_show, "Show what a dataset is made of: its manifest.")
    verify = group.add("verify", run_verify, "Have a dataset computed again, and compared.")
    download = group.add("download", run_download, "Write the rows of a dataset to a file.")
    end = group.add("end", run_end, "End a dataset: its rows are removed, its manifest stays.")
    for one in (show, verify, download, end):
        one.add_argument("dataset", metavar="NAME[@VERSION]", help="the newest without a version")
    end.add_argument("-r", "--reason", required=True, help="why; the trail keeps it")
    end.add_argument(
        "--despite-downloads",
        action="store_true",
        help="although models may have been trained on it",
    )
    download.add_argument("-o", "--output", required=True, metavar="OUT", help=".parquet")


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.datasets(name=args.name, status=args.status, limit=args.limit)
    context.out.rows(found, COLUMNS)


def run_create(context: Context, args: argparse.Namespace) -> None:
    frame = frame_of(args)
    asked = context.store.request_dataset(
        args.name,
        Path(frame) if isinstance(frame, str) else frame,
        args.features,
        args.full_feature_names,
        description=args.description,
        feature_service=args.feature_service,
        timing=args.timing,
        views=named_views(args.view or []),
        split=args.split,
        expires=args.expires,
    )
    if args.no_wait:
        context.out.json(asked) if context.out.as_json else context.out.table([asked], COLUMNS)
        return
    context.out.progress(f"{args.name}@{asked['version']} is being made")
    _show(context, context.store.wait_for_dataset(args.name, asked["version"]))


def run_show(context: Context, args: argparse.Namespace) -> None:
    found = context.store.get_dataset(args.dataset)
    if context.out.as_json:
        said = {"manifest_hash": found.manifest_hash, "manifest": found.manifest}
        context.out.json({**said, "parameters": found.parameters})
        return
    _show(context, found)
    context.out.table(found.manifest["features"], ("name", "reference", "type"), title="features")
    views = ("feature_view", "version", "rows_matched", "rows_without", "delta_version")
    context.out.table(found.manifest["views"], views, title="views")


def run_verify(context: Context, args: argparse.Namespace) -> None:
    found = context.store.get_dataset(args.dataset)
    context.out.progress(f"{found.name}@{found.version} is computed again")
    check = found.verify()
    if context.out.as_json:
        context.out.json(check)
    else:
        context.out.line(f"{found.name}@{found.version} {said(check)}", "green")


def run_download(context: Context, args: argparse.Namespace) -> None:
    found = context.store.write_dataset(args.dataset, args.output)
    if context.out.as_json:
        context.out.json({"output": args.output, "manifest_hash": found.manifest_hash})
    else:
        context.out.line(f"wrote {args.output} ({len(found)} rows)")


def run_end(context: Context, args: argparse.Namespace) -> None:
    found = context.store.end_dataset(
        args.dataset, reason=args.reason, despite_downloads=args.despite_downloads
    )
    if context.out.as_json:
        context.out.json(found)
    else:
        context.out.line(f"{args.dataset} is ended; its rows are removed, its manifest stays")


def split_argument(text: str) -> JSON:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return found


def _show(context: Context, found: Dataset) -> None:
    facts = {
        "dataset": f"{found.name}@{found.version}",
        "rows": len(found),
        "manifest_hash": found.manifest_hash,
        "content_hash": found.content_hash,
    }
    if found.ended_at:
        context.out.note(f"warning: it was ended at {found.ended_at}: {found.end_reason}", "yellow")
    for warning in found.warnings:
        context.out.note(f"warning: {warning}", "yellow")
    if context.out.as_json:
        context.out.json(facts)
    else:
        context.out.describe(facts)
