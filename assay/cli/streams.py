"""Subcommands about streams that tables are fed from.
Not for reading one: ``manage.py consume`` does, on the server.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON
from assay.streams import LETTER_STATES, STATES

COLUMNS = ("id", "feature_view", "stream", "partition", "state", "place", "lag", "words")
LETTER_COLUMNS = ("id", "feature_view", "stream", "partition", "place", "state", "column", "words")


def add(commands: Commands) -> None:
    streams = commands.group("streams", "Streams that views are over: how far they were read.")
    listing = streams.add("list", run_list, "List partitions and how far each came.")
    listing.add_argument("--state", help=", ".join(STATES))
    listing.add_argument("--limit", type=int, default=50)
    on = streams.add("read-on", run_read_on, "Say where a partition is read on.")
    on.add_argument("part_id", metavar="ID", type=int)
    on.add_argument("place", metavar="PLACE", type=_place, help="an offset, oldest or newest")
    on.add_argument("--reason", required=True, help="kept in the trail")
    letters = streams.add("letters", run_letters, "List records that could not be taken.")
    letters.add_argument("--state", help=", ".join(LETTER_STATES))
    letters.add_argument("--limit", type=int, default=50)
    replay = streams.add("replay", run_replay, "Have such records read again.")
    replay.add_argument("letter_ids", metavar="ID", type=int, nargs="+")
    dismiss = streams.add("dismiss", run_dismiss, "Leave such a record out for good.")
    dismiss.add_argument("letter_id", metavar="ID", type=int)
    dismiss.add_argument("--reason", required=True, help="kept in the trail")
    dismiss.add_argument(
        "--alike", action="store_true", help="and all of its stream for its column and reason"
    )


def _place(text: str) -> int | str:
    if text in ("oldest", "newest"):
        return text
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no place: an offset, oldest or newest")


def run_list(context: Context, args: argparse.Namespace) -> None:
    context.out.rows(context.store.streams(state=args.state, limit=args.limit), COLUMNS, _row)


def _row(part: JSON) -> JSON:
    # A server of before says nothing of it.
    return part | {"lag": f"{part['lag']} or more"} if part.get("lag_is_least") else part


def run_read_on(context: Context, args: argparse.Namespace) -> None:
    part = context.store.read_on(args.part_id, args.place, reason=args.reason)
    if context.out.as_json:
        context.out.json(part)
    else:
        context.out.describe(part)


def run_letters(context: Context, args: argparse.Namespace) -> None:
    letters = context.store.dead_letters(state=args.state, limit=args.limit)
    context.out.rows(letters, LETTER_COLUMNS)


def run_replay(context: Context, args: argparse.Namespace) -> None:
    letters = [context.store.replay_dead_letter(each) for each in args.letter_ids]
    context.out.rows(letters, LETTER_COLUMNS)


def run_dismiss(context: Context, args: argparse.Namespace) -> None:
    done = context.store.dismiss_dead_letter(args.letter_id, reason=args.reason, alike=args.alike)
    if context.out.as_json:
        context.out.json(done)
        return
    more = f"; {done['still_alike']:,} alike wait still" if done["still_alike"] else ""
    context.out.line(f"dismissed: {done['dismissed']:,}{more}")
