"""The subcommand that shows who reads what.
Not for who did what else; `audit` shows that.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON
from assay.usage import BY

_SHOWN = ("reads", "rows", "missing", "p99_within", "last_at")
_NAMES = {"view": "feature_view", "service": "feature_service"}
#: What the server tells apart by itself: two lines that it keeps apart never look the same.
_DEFAULT = ("view", "version", "through", "service", "reader", "door")
#: What says which reads are added up, and how: samples are of all.
_OF_READS = ("service", "state", "reader", "by", "limit")
_LINES = 50


def add(commands: Commands) -> None:
    usage = commands.add("usage", run_usage, "Show who read which features, the most reads first.")
    usage.add_argument("view", nargs="?", metavar="VIEW[@VERSION][:FEATURE]")
    usage.add_argument("--service", help="reads that named this feature service")
    states = ("approved", "deprecated", "retired")
    usage.add_argument("--state", choices=states, help="of versions that are in it now")
    usage.add_argument("--reader", help="user name")
    usage.add_argument("--days", type=int, help="how far back, default 30")
    usage.add_argument("--by", help="what is told apart, comma-separated, of " + ", ".join(BY))
    usage.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="show so many of the newest sampled values of VIEW[@VERSION]:FEATURE, of --days",
    )
    usage.add_argument("--limit", type=int, help=f"lines that are shown, default {_LINES}")


def run_usage(context: Context, args: argparse.Namespace) -> None:
    if args.samples is not None:
        _show_samples(context, args)
        return
    by = [word.strip() for word in args.by.split(",")] if args.by else list(_DEFAULT)
    found = context.store.usage(
        args.view,
        state=args.state,
        service=args.service,
        reader=args.reader,
        days=args.days,
        by=by,
        limit=_LINES if args.limit is None else args.limit,
    )
    if context.out.as_json:
        context.out.json(found.to_dict())
        return
    columns = [*(_NAMES.get(each, each) for each in by), *_SHOWN]
    context.out.table([_line(row) for row in found], columns)
    context.out.note(found.about)
    context.out.rest(found)


def _show_samples(context: Context, args: argparse.Namespace) -> None:
    for name in _OF_READS:
        if getattr(args, name) is not None:
            args.parser.error(f"--samples is of all reads; leave --{name} out")
    found = context.store.usage_samples(args.view or "", days=args.days, most=args.samples)
    if context.out.as_json:
        context.out.json(found)
        return
    context.out.table(found["samples"], ("at", "version", "status", "value"))
    if dropped := found["samples_dropped"]:
        context.out.line(f"{dropped:,} more values of the view had no room.")
    for each in found["compared"]:
        context.out.line(_compared(each))


def _compared(version: JSON) -> str:
    """Say how far samples of a version lie from its baseline."""
    said = f"{version['version']}: {version['samples']:,} samples since {version['since']}"
    if baseline := version["baseline"]:
        said += f", against the baseline of {baseline['set_at']}"
    figures = ", ".join(f"{name} {value}" for name, value in version["drift"].items())
    return "; ".join(filter(None, (said, figures, version["why_not"].rstrip(".")))) + "."


def _line(row: JSON) -> JSON:
    statuses, seconds = row["statuses"], row["seconds"]
    within = seconds["p99_within"]
    slow = "more" if within is None else f"{within:g} s"
    return {
        **row,
        "missing": statuses["NOT_FOUND"] + statuses["OUTSIDE_MAX_AGE"],
        "p99_within": "not timed" if seconds["mean"] is None else slow,
    }
