"""Subcommands about grants to read confidential and restricted values.
Not for reading by one.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta

from assay.cli.arguments import Commands, Context, instant_argument
from assay.shapes import JSON

COLUMNS = "id", "user", "of", "state", "ends_at", "purpose", "asked_by", "decided_by"
STATES = "asked, active, ending, ended, refused, revoked"


def add(commands: Commands) -> None:
    group = commands.group("grants", "Ask for, give and list grants to read sensitive values.")
    listing = group.add("list", run_list, "List grants, newest first.")
    listing.add_argument("--state", help=STATES)
    listing.add_argument("--user", metavar="NAME")
    listing.add_argument("--view", metavar="NAME")
    listing.add_argument("--limit", type=int, default=50)
    ask = group.add("ask", run_ask, "Ask that an account may read what is sensitive.")
    scope = ask.add_mutually_exclusive_group(required=True)
    scope.add_argument("--view", metavar="NAME", help="what is sensitive in one view")
    scope.add_argument("--level", help="in every view up to: confidential or restricted")
    ask.add_argument("--purpose", required=True, help="what it is for; kept in the trail")
    end = ask.add_mutually_exclusive_group(required=True)
    end.add_argument("--days", type=_days, metavar="N", help="ends so many days from now")
    end.add_argument("--until", type=instant_argument, metavar="INSTANT", help="or then")
    ask.add_argument("--user", metavar="NAME", help="for this person or service account, not you")
    for step, help_text in STEPS.items():
        parser = group.add(step, run_step, help_text)
        parser.add_argument("grant_id", type=int, metavar="ID")
        parser.add_argument("--comment", default="", required=step == "refuse")
        parser.set_defaults(step=step)


STEPS = {
    "give": "Give what somebody else asked for.",
    "refuse": "Refuse what somebody asked for, and say why.",
    "revoke": "Take a grant back, or what was asked for.",
}


def _days(text: str) -> timedelta:
    try:
        return timedelta(days=int(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days") from None


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.grants(
        state=args.state, user=args.user, feature_view=args.view, limit=args.limit
    )
    _show(context, found)


def run_ask(context: Context, args: argparse.Namespace) -> None:
    asked = context.store.ask_for_grant(
        purpose=args.purpose,
        ends_at=args.until or datetime.now(UTC) + args.days,
        feature_view=args.view,
        level=args.level,
        user=args.user,
    )
    _show(context, [asked])


def run_step(context: Context, args: argparse.Namespace) -> None:
    step = getattr(context.store, f"{args.step}_grant")
    moved = step(args.grant_id, comment=args.comment)
    _show(context, [moved])
    if moved["unseconded"] and args.step == "give" and not context.out.as_json:
        context.out.line("nobody else could give it: there was no second pair of eyes.")


def _show(context: Context, found: list[JSON]) -> None:
    context.out.rows(found, COLUMNS, row=_row)


def _row(found: JSON) -> JSON:
    return {**found, "of": found["feature_view"] or f"up to {found['level']}"}
