"""Subcommands about proposals: changes of who decides, which take two people.
Not for making one: `accounts` does of accounts, and the admin of everything else.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

COLUMNS = "id", "does", "state", "proposed_by", "expires_at", "could_agree", "decided_by"
STEPS = {
    "accept": "Agree to what somebody else proposed; it is done at once.",
    "refuse": "Refuse what somebody proposed, and say why.",
    "withdraw": "Take back what you proposed.",
}


def add(commands: Commands) -> None:
    group = commands.group("proposals", "List and decide on changes of who decides.")
    listing = group.add("list", run_list, "List proposals, newest first.")
    listing.add_argument("--state", help="proposed, accepted, refused or withdrawn")
    listing.add_argument("--limit", type=int, default=50)
    _add_everywhere(listing)
    for step, help_text in STEPS.items():
        parser = group.add(step, run_step, help_text)
        parser.add_argument("proposal_id", type=int, metavar="ID")
        parser.add_argument("--comment", default="", required=step == "refuse")
        _add_everywhere(parser)
        parser.set_defaults(step=step)


def _add_everywhere(parser: argparse.ArgumentParser) -> None:
    says = "of accounts and all projects, for superusers"
    parser.add_argument("--everywhere", action="store_true", help=says)


def run_list(context: Context, args: argparse.Namespace) -> None:
    _show(
        context,
        context.store.proposals(state=args.state, limit=args.limit, everywhere=args.everywhere),
    )


def run_step(context: Context, args: argparse.Namespace) -> None:
    step = getattr(context.store, f"{args.step}_proposal")
    _show(context, [step(args.proposal_id, comment=args.comment, everywhere=args.everywhere)])


def _show(context: Context, found: list[JSON]) -> None:
    context.out.rows(
        found, COLUMNS, row=lambda each: each | {"could_agree": ", ".join(each["could_agree"])}
    )
