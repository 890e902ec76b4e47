"""Subcommands about what waits for review.
Not for one version's review or decision: ``lifecycle`` has those.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.errors import Invalid
from assay.reviews import TURNS
from assay.shapes import JSON

COLUMNS = (
    "version",
    "state",
    "class",
    "what_changed",
    "owner",
    "submitted_by",
    "overdue",
    "reviewers",
)
COMMENT_COLUMNS = ("id", "answers", "author", "state", "where", "became", "body")
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
    comments = commands.add("comments", run_comments, "List what was said about a version.")
    comments.add_argument("reference", metavar="VIEW@VERSION")
    comments.add_argument("--limit", type=int, default=100)
    comment = commands.add("comment", run_comment, "Say something about a version, or answer.")
    comment.add_argument("reference", metavar="VIEW@VERSION")
    comment.add_argument("body", metavar="TEXT")
    comment.add_argument("--path", help="of what `assay review` shows; or definition, or sql")
    comment.add_argument("--line", type=int, help="of that text, from 1")
    comment.add_argument("--side", choices=("new", "old"), default="new")
    comment.add_argument("--answer", type=int, metavar="ID", help="the first of a thread")
    resolve = commands.add("resolve", run_resolve, "Settle a thread of comments.")
    resolve.add_argument("reference", metavar="VIEW@VERSION")
    resolve.add_argument("comment_id", metavar="ID", type=int)
    together = commands.add(
        "approve-together", run_together, "Approve patches, and versions of public features."
    )
    together.add_argument("packets", metavar="VIEW@VERSION=HASH", nargs="+")
    together.add_argument("--comment", default="", help="kept in each review and in the trail")


def run_list(context: Context, args: argparse.Namespace) -> None:
    reviews = context.store.reviews(turn=args.turn, limit=args.limit)
    context.out.rows(reviews, COLUMNS, row=_row)


def _row(review: JSON) -> JSON:
    more = len(review["reasons"]) - REASONS_SHOWN
    said = [*review["reasons"][:REASONS_SHOWN], *[f"and {more} more"] * (more > 0)]
    line = {
        "version": f"{review['view']}@{review['version']}",
        "what_changed": "; ".join(said),
        "reviewers": ", ".join(review["reviewers"]) or "all who may",
        "overdue": "yes" if review["overdue"] else "",
    }
    if mark := review.get("break_glass"):
        line["state"] = f"broken glass, until {mark['until']}: look at it"
    return review | line


def run_ask(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.ask_reviewers(args.reference, args.reviewers)
    if context.out.as_json:
        context.out.json(answer)
    else:
        asked = ", ".join(answer["reviewers"]) or "all who may approve it"
        context.out.line(f"{args.reference} is asked of {asked}.")


def run_comments(context: Context, args: argparse.Namespace) -> None:
    comments = context.store.comments(args.reference, limit=args.limit)
    context.out.rows(comments, COMMENT_COLUMNS, row=_comment_row)


def _comment_row(comment: JSON) -> JSON:
    state = "resolved" if comment["resolved_at"] else "open"
    where = f"{comment['path']}:{comment['line']} ({comment['side']})" if comment["path"] else ""
    shown = {"state": "" if comment["thread"] else state, "where": where}
    return comment | shown | {"answers": comment["thread"]}


def run_comment(context: Context, args: argparse.Namespace) -> None:
    said = context.store.comment(
        args.reference,
        args.body,
        path=args.path,
        line=args.line,
        side=args.side,
        thread=args.answer,
    )
    _show_comment(context, said, f"comment {said['id']} is on {args.reference}.")


def run_resolve(context: Context, args: argparse.Namespace) -> None:
    said = context.store.resolve_comment(args.reference, args.comment_id)
    _show_comment(context, said, f"comment {said['id']} is resolved.")


def _show_comment(context: Context, said: JSON, words: str) -> None:
    if context.out.as_json:
        context.out.json(said)
    else:
        context.out.line(words)


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
