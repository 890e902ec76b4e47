"""Subcommands for training sets that are kept.
Not for training sets that are answered at once: ``reads`` has those.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from assay.cli.arguments import Commands, Context, add_features, view_argument
from assay.cli.reads import named_views
from assay.dataset import Dataset, said
from assay.errors import Invalid
from assay.shapes import JSON

COLUMNS = ("name", "version", "status", "rows", "requested_by", "requested_at", "manifest_hash")


def add(commands: Commands) -> None:
    group = commands.group("datasets", "Training sets that are kept, and can be proven.")
    listing = group.add("list", run_list, "List datasets, newest first.")
    listing.add_argument("--name", metavar="NAME")
    listing.add_argument("--status", help="queued, running, done, failed")
    listing.add_argument("--limit", type=int, default=20)
    create = group.add("create", run_create, "Have the next version of a dataset made.")
    create.add_argument("name", metavar="NAME")
    create.add_argument("frame", metavar="FRAME", help="join keys and event_timestamp, .parquet …")
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
    create.add_argument("--no-wait", action="store_true", help="return once it is queued")
    show = group.add("show", run_show, "Show what a dataset is made of: its manifest.")
    verify = group.add("verify", run_verify, "Have a dataset computed again, and compared.")
    download = group.add("download", run_download, "Write the rows of a dataset to a file.")
    for one in (show, verify, download):
        one.add_argument("dataset", metavar="NAME[@VERSION]", help="the newest without a version")
    download.add_argument("-o", "--output", required=True, metavar="OUT", help=".parquet")


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.datasets(name=args.name, status=args.status, limit=args.limit)
    if context.out.as_json:
        context.out.json(found)
    else:
        context.out.table(found, COLUMNS)


def run_create(context: Context, args: argparse.Namespace) -> None:
    asked = context.store.request_dataset(
        args.name,
        Path(args.frame),
        args.features,
        args.full_feature_names,
        description=args.description,
        feature_service=args.feature_service,
        timing=args.timing,
        views=named_views(args.view or []),
        split=args.split,
    )
    if args.no_wait:
        context.out.json(asked) if context.out.as_json else context.out.table([asked], COLUMNS)
        return
    context.out.progress(f"{args.name}@{asked['version']} is being made")
    _show(context, context.store.wait_for_dataset(args.name, asked["version"]))


def run_show(context: Context, args: argparse.Namespace) -> None:
    found = context.store.get_dataset(*reference(args.dataset))
    if context.out.as_json:
        context.out.json({"manifest_hash": found.manifest_hash, "manifest": found.manifest})
        return
    _show(context, found)
    context.out.table(found.manifest["features"], ("name", "reference", "type"), title="features")
    views = ("feature_view", "version", "rows_matched", "rows_without", "delta_version")
    context.out.table(found.manifest["views"], views, title="views")


def run_verify(context: Context, args: argparse.Namespace) -> None:
    found = context.store.get_dataset(*reference(args.dataset))
    context.out.progress(f"{found.name}@{found.version} is computed again")
    check = found.verify()
    if context.out.as_json:
        context.out.json(check)
    else:
        context.out.line(f"{found.name}@{found.version} {said(check)}", "green")


def run_download(context: Context, args: argparse.Namespace) -> None:
    name, version = reference(args.dataset)
    found = context.store.write_dataset(name, args.output, version)
    if context.out.as_json:
        context.out.json({"output": args.output, "manifest_hash": found.manifest_hash})
    else:
        context.out.line(f"wrote {args.output} ({len(found)} rows)")


def split_argument(text: str) -> JSON:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return found


def reference(text: str) -> tuple[str, int | None]:
    """Read ``name`` or ``name@3``."""
    name, at, number = text.partition("@")
    if at and not (number.isascii() and number.isdecimal()):
        raise Invalid(f"{text!r}: write NAME or NAME@VERSION, as in churn@3")
    return name, int(number) if at else None


def _show(context: Context, found: Dataset) -> None:
    facts = {
        "dataset": f"{found.name}@{found.version}",
        "rows": len(found),
        "manifest_hash": found.manifest_hash,
        "content_hash": found.content_hash,
    }
    for warning in found.warnings:
        context.out.note(f"warning: {warning}", "yellow")
    if context.out.as_json:
        context.out.json(facts)
    else:
        context.out.describe(facts)
