"""Subcommands that read feature values: the latest ones, training sets, and lists of whole files.
Not for formats; the server writes those.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from assay.all_entities import AllEntities
from assay.cli.arguments import (
    Commands,
    Context,
    add_features,
    entity_argument,
    instant_argument,
    view_argument,
)
from assay.cli.output import cell
from assay.encoding import plain
from assay.errors import Invalid
from assay.online import OnlineResponse
from assay.shapes import JSON


def add(commands: Commands) -> None:
    online = commands.add("get-online-features", run_online, "Read the latest values.")
    add_features(online)
    online.add_argument(
        "-e",
        "--entity",
        nargs="+",
        action="extend",
        type=entity_argument,
        required=True,
        metavar="KEY=VALUE",
        help="repeat a key for more rows; KEY:=JSON keeps JSON's types, as in zip:='\"00501\"'",
    )
    history = commands.add(
        "get-historical-features", run_historical, "Make a training set: a file in, a file out."
    )
    history.add_argument(
        "frame", metavar="FRAME", nargs="?", help="join keys and event_timestamp, .parquet or .csv"
    )
    history.add_argument(
        "--at",
        action="append",
        type=instant_argument,
        metavar="TIME",
        help="instead of FRAME: every entity at this time, UTC; repeat it for more",
    )
    history.add_argument("--start", type=instant_argument, help="or from here on, UTC")
    history.add_argument("--end", type=instant_argument, help="up to here, UTC")
    history.add_argument("--every", metavar="1d", help="at each step of it; else at each change")
    add_features(history)
    history.add_argument("-o", "--output", required=True, metavar="OUT", help=".parquet or .csv")
    history.add_argument(
        "--timing",
        choices=("known", "event"),
        default="known",
        help="known: only what had arrived by then (default); event: also what arrived later",
    )
    history.add_argument(
        "--view",
        action="append",
        type=view_argument,
        metavar="NAME[=VIEW][,KEY=COLUMN…]",
        help="a view under another name, and columns of FRAME that have its join keys",
    )
    history.add_argument("--explain", action="store_true", help="count rows the timings differ on")
    files = commands.add(
        "offline-files", run_offline_files, "List a view's Parquet files, to read them by oneself."
    )
    files.add_argument("view", metavar="VIEW")
    files.add_argument("--version", metavar="VERSION", help="1.2.0 or v2; without it the default")
    files.add_argument("--start", type=instant_argument, help="event times from here on, UTC")
    files.add_argument("--end", type=instant_argument, help="event times up to here, UTC")


def run_online(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.get_online_features(
        args.features,
        columns(args.entity),
        args.full_feature_names,
        feature_service=args.feature_service,
    )
    _warn(context, answer.warnings)
    if context.out.as_json:
        context.out.json({"values": plain(answer.to_dict()), "statuses": answer.statuses()})
    else:
        context.out.table(online_rows(answer), answer.names)


def run_historical(context: Context, args: argparse.Namespace) -> None:
    with context.out.err.status("the server joins features to the rows …"):
        warnings = context.store.write_historical_features(
            _frame(args),
            args.output,
            args.features,
            args.full_feature_names,
            feature_service=args.feature_service,
            timing=args.timing,
            explain=args.explain,
            views=named_views(args.view or []),
        )
    _warn(context, warnings)
    if context.out.as_json:
        context.out.json({"output": args.output, "warnings": warnings})
    else:
        context.out.line(f"wrote {args.output}")


def run_offline_files(context: Context, args: argparse.Namespace) -> None:
    found = context.store.offline_files(
        args.view, version=args.version, start=args.start, end=args.end
    )
    _warn(context, found["warnings"])
    if context.out.as_json:
        context.out.json(found)
    else:
        facts = ("feature_view", "version", "delta_version", "rows", "columns", "files")
        context.out.describe({name: found[name] for name in facts})


def columns(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Turn ``[("a", 1), ("b", 2), ("a", 3), …]`` into columns."""
    found: dict[str, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _frame(args: argparse.Namespace) -> str | AllEntities:
    times = {name: getattr(args, name) for name in ("at", "start", "end", "every")}
    if (args.frame is None) is not any(times.values()):
        raise Invalid("give either FRAME, or the times of all entities: --at, or --start and --end")
    return args.frame or AllEntities(**times)


def named_views(pairs: Iterable[tuple[str, JSON]]) -> JSON:
    """Turn what ``--view`` said into ``views``.

    :raises Invalid: one name was said twice.
    """
    found: JSON = {}
    for name, named in pairs:
        if name in found:
            raise Invalid(f"--view names {name!r} twice; say it once, with all of its keys")
        found[name] = named
    return found


def online_rows(answer: OnlineResponse) -> list[dict[str, Text]]:
    """Give one dict a row; in place of a value that is not there, its status."""
    values, statuses = plain(answer.to_dict()), answer.statuses()
    return [
        {
            name: cell(values[name][row])
            if statuses[name][row] == "PRESENT"
            else Text(statuses[name][row], style="dim italic")
            for name in answer.names
        }
        for row in range(len(answer))
    ]


def _warn(context: Context, warnings: list[str]) -> None:
    for warning in warnings:
        context.out.note(f"warning: {warning}", "yellow")
