"""Subcommands about what is wrong.
Not for where alerts are sent; the admin has the channels.
"""

from __future__ import annotations

import argparse

from assay.alerts import STATES
from assay.cli.arguments import Commands, Context

COLUMNS = ("id", "severity", "kind", "subject", "state", "count", "last_seen_at", "words")


def add(commands: Commands) -> None:
    alerts = commands.group("alerts", "What is wrong, and was.")
    listing = alerts.add("list", run_list, "List alerts, newest first.")
    listing.add_argument("--state", help=", ".join(STATES))
    listing.add_argument("--kind")
    listing.add_argument("--severity", help="critical, warning")
    listing.add_argument("--limit", type=int, default=20)
    acknowledge = alerts.add("acknowledge", run_acknowledge, "Say that you know of an alert.")
    acknowledge.add_argument("alert_id", metavar="ID", type=int)


def run_list(context: Context, args: argparse.Namespace) -> None:
    alerts = context.store.alerts(
        state=args.state, kind=args.kind, severity=args.severity, limit=args.limit
    )
    context.out.rows(alerts, COLUMNS)


def run_acknowledge(context: Context, args: argparse.Namespace) -> None:
    alert = context.store.acknowledge_alert(args.alert_id)
    if context.out.as_json:
        context.out.json(alert)
    else:
        context.out.describe(alert)
