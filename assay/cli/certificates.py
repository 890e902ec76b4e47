"""Subcommands that have the stores compared.
Not for alerts that a difference opens: ``alerts`` lists those.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.errors import StoresDiffer
from assay.shapes import JSON

COLUMNS = (
    ("id", "view", "kind", "status", "scope", "compared", "equal")
    + ("missing", "extra", "different", "repaired", "requested_by", "finished_at")
)  # fmt: skip


def add(commands: Commands) -> None:
    compare = commands.add("compare", run_compare, "Compare the online with the offline store.")
    compare.add_argument("reference", metavar="VIEW[@VERSION]")
    scope = compare.add_mutually_exclusive_group()
    scope.add_argument("--sample", type=int, metavar="N", help="entities of each store")
    scope.add_argument("--full", action="store_true", help="every row")
    compare.add_argument(
        "--repair", action="store_true", help="look at every row and put right what differs"
    )
    compare.add_argument(
        "--source", action="store_true", help="the stored rows with the source, all of them"
    )
    compare.add_argument("--no-wait", action="store_true", help="return once it is queued")
    listing = commands.add("certificates", run_list, "List what comparisons found.")
    listing.add_argument("--view", metavar="NAME")
    listing.add_argument("--status", help="queued, running, equal, different, failed")
    listing.add_argument("--limit", type=int, default=20)


def run_compare(context: Context, args: argparse.Namespace) -> None:
    asked = context.store.compare(
        args.reference,
        sample=args.sample,
        full=args.full,
        repair=args.repair,
        source=args.source,
    )
    if args.no_wait:
        _show(context, [asked])
        return
    context.out.progress(f"certificate {asked['id']} is under way")
    try:
        _show(context, [context.store.wait_for_certificate(asked["id"])])
    except StoresDiffer as exc:
        found: JSON = exc.data["certificate"]
        _show(context, [found])
        if found["examples"] and not context.out.as_json:
            context.out.table(found["examples"], ("kind", "key", "features"), title="examples")
        raise


def run_list(context: Context, args: argparse.Namespace) -> None:
    _show(
        context,
        context.store.certificates(feature_view=args.view, status=args.status, limit=args.limit),
    )


def _show(context: Context, found: list[JSON]) -> None:
    context.out.rows(found, COLUMNS, row=_row)


def _row(found: JSON) -> JSON:
    view = f"{found['feature_view']}@{found['version']}"
    scope = "full" if found["sample"] is None else f"sample {found['sample']}"
    return {**found, "view": view, "scope": scope}
