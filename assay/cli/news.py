"""Subcommands about what one was told of.
Not for a project's alerts: ``alerts`` has those.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context

COLUMNS = ("id", "kind", "project", "says", "at", "read_at")


def add(commands: Commands) -> None:
    news = commands.group("notifications", "What you were told of, in every project.")
    listing = news.add("list", run_list, "List notifications, newest first.")
    listing.add_argument("--unread", action="store_true")
    listing.add_argument("--limit", type=int, default=20)
    read = news.add("read", run_read, "Mark notifications as read; without numbers all.")
    read.add_argument("ids", metavar="ID", nargs="*", type=int)
    choose = news.add("choose", run_choose, "Show what you hear of, or change it.")
    choose.add_argument("--mute", nargs="*", metavar="KIND", help="hear of all but these")
    choose.add_argument("--mail", choices=("yes", "no"), help="by mail too")


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.notifications(unread=args.unread, limit=args.limit)
    context.out.rows(found, COLUMNS)


def run_read(context: Context, args: argparse.Namespace) -> None:
    count = context.store.read_notifications(args.ids or None)
    if context.out.as_json:
        context.out.json({"read": count})
    else:
        context.out.line(f"{count} marked as read.")


def run_choose(context: Context, args: argparse.Namespace) -> None:
    choice = context.store.news_choice()
    if args.mute is not None or args.mail is not None:
        muted = choice["muted"] if args.mute is None else args.mute
        by_mail = choice["by_mail"] if args.mail is None else args.mail == "yes"
        choice = context.store.choose_news(muted=muted, by_mail=by_mail)
    if context.out.as_json:
        context.out.json(choice)
    else:
        context.out.describe(choice)
