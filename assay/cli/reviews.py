"""Subcommands about what waits for review.
Not for one version's review or decision: ``lifecycle`` has those.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.errors import Invalid
from assay.reviews import TURNS

COLUMNS = ("version", "class", "what_changed", "owner", "submitted_by", "overdue", "reviewers")
REASONS_SHOWN = 2


def add(commands: Commands) -> None:
    listing = commands.add("reviews", run_list, "List what waits for review, longest first.")
    listing.add_argument(
        "--for", dest="turn", choices=TURNS, help="asked of me, mine, or overdue; without: all"
    )
    listing.add_argument("--limit", type=int, default=50)
    ask = commands.add("ask", run_ask, "Choose who is asked to review; nobody: all who may.")
    ask.add_argument("reference", metavar="VIEW@VERSION")
    ask.add_argument("reviewers", metavar="USER", nargs="*")
    together = commands.add(
        "approve-together", run_together, "Approve patches, and versions of public features."
    )
    together.add_argument("packets", metavar="VIEW@VERSION=HASH", nargs="+")
    together.add_argument("--comment", default="", help="kept in each review and in the trail")


def run_list(context: Context, args: argparse.Namespace) -> None:
    reviews = context.store.reviews(turn=args.turn, limit=args.limit)
    if context.out.as_json:
        context.out.json(reviews)
        return
    rows = []
    for each in reviews:
        more = len(each["reasons"]) - REASONS_SHOWN
        said = "; ".join(each["reasons"][:REASONS_SHOWN]) + (
            f"; and {more} more" if more > 0 else ""
        )
        asked = ", ".join(each["reviewers"]) or "all who may"
        line = {"version": f"{each['view']}@{each['version']}", "what_changed": said}
        rows.append(each | line | {"reviewers": asked, "overdue": "yes" if each["overdue"] else ""})
    context.out.table(rows, COLUMNS)


def run_ask(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.ask_reviewers(args.reference, args.reviewers)
    if context.out.as_json:
        context.out.json(answer)
    else:
        asked = ", ".join(answer["reviewers"]) or "all who may approve it"
        context.out.line(f"{args.reference} is asked of {asked}.")


def run_together(context: Context, args: argparse.Namespace) -> None:
    pairs = [text.partition("=") for text in args.packets]
    if bad := [reference for reference, _, packet in pairs if "@" not in reference or not packet]:
        raise Invalid(f"{bad[0]!r}: write VIEW@VERSION=HASH, as `assay review` shows it")
    packets = {reference: packet for reference, _, packet in pairs}
    results = context.store.approve_together(packets, comment=args.comment)
    if context.out.as_json:
        context.out.json(results)
    for each in results if not context.out.as_json else ():
        reference = f"{each['view']}@{each['version']}"
        said = f"is {each['state']}" if each["approved"] else f"not approved: {each['detail']}"
        context.out.line(f"{reference}: {said}")
    if refused := [each for each in results if not each["approved"]]:
        raise Invalid(f"{len(refused)} of {len(results)} could not be approved", results=refused)
