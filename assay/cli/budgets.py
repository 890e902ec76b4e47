"""Subcommands about what the tables of a view take, and may take.
Not for what happens there; an alert tells of it.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

#: The options that set a limit, each with what it counts.
LIMITS = {
    "disk_mb": "megabytes on disk",
    "online_keys": "keys online",
    "memory_mb": "megabytes of memory online",
}
COLUMNS = ("of", "used", "budget", "percent", "days_left")


def add(commands: Commands) -> None:
    show = commands.add("budget", run_budget, "Show what a view takes and may take.")
    show.add_argument("feature_view", metavar="VIEW")
    change = commands.add("set-budget", run_set_budget, "Say what a view may take.")
    change.add_argument("feature_view", metavar="VIEW")
    for name, what in LIMITS.items():
        option = f"--{name.replace('_', '-')}"
        said = f"{what}: a number, 0 for no limit, default for what the server's settings say"
        change.add_argument(option, type=_limit, default=argparse.SUPPRESS, metavar="N", help=said)
    change.add_argument("--reason", required=True, help="kept with it and in the trail")


def _limit(text: str) -> int | None:
    return None if text == "default" else int(text)


def run_budget(context: Context, args: argparse.Namespace) -> None:
    _show(context, context.store.budget(args.feature_view))


def run_set_budget(context: Context, args: argparse.Namespace) -> None:
    limits = {name: getattr(args, name) for name in LIMITS if hasattr(args, name)}
    _show(context, context.store.set_budget(args.feature_view, reason=args.reason, **limits))


def _show(context: Context, found: JSON) -> None:
    if context.out.as_json:
        context.out.json(found)
        return
    context.out.table(found["uses"], COLUMNS)
    own = {LIMITS[name]: limit for name, limit in found["limits"].items() if limit is not None}
    said = ", ".join(f"{limit:,} {what}" for what, limit in own.items())
    by = f"; by {found['set_by']}: {found['reason']}" if found["set_by"] else ""
    context.out.line(f"set for this view: {said or 'nothing, the settings hold'}{by}")
