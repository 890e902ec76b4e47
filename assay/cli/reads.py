"""Subcommands that read feature values: the latest ones, training sets, and lists of whole files.
Not for formats; the server writes those.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from assay.cli import jobs
from assay.cli.arguments import (
    Commands,
    Context,
    add_features,
    add_frame,
    add_selection,
    entity_argument,
    frame_of,
    instant_argument,
    view_argument,
)
from assay.cli.output import cell
from assay.encoding import plain
from assay.errors import Invalid
from assay.online import OnlineResponse
from assay.shapes import JSON


def add(commands: Commands) -> None:
    _add_online(commands)
    _add_context(commands)
    _add_search(commands)
    _add_historical(commands)
    _add_offline_files(commands)


def _add_online(commands: Commands) -> None:
    online = commands.add("get-online-features", run_online, "Read the latest values.")
    add_features(online)
    _add_entities(online)


def _add_context(commands: Commands) -> None:
    context = commands.add(
        "get-feature-context", run_context, "Tell the latest values in words, for a prompt."
    )
    add_selection(context)
    _add_entities(context)
    context.add_argument(
        "--max-tokens", type=int, metavar="N", help="of each text; the last features go first"
    )


def _add_search(commands: Commands) -> None:
    search = commands.add(
        "search-vectors", run_search, "Find the entities whose vectors are nearest."
    )
    search.add_argument("feature", metavar="VIEW:FEATURE", help="of a type vector<N>")
    near = search.add_mutually_exclusive_group(required=True)
    near.add_argument("--vector", type=_json_argument, metavar="JSON", help="as in '[0.1, 0.2]'")
    near.add_argument(
        "-e",
        "--entity",
        nargs="+",
        type=entity_argument,
        metavar="KEY=VALUE",
        help="near its own vector; KEY:=JSON keeps JSON's types",
    )
    search.add_argument("-k", type=int, default=10, metavar="N", help="hits, default 10")
    search.add_argument("--metric", choices=("cosine", "l2", "dot"), default="cosine")
    search.add_argument("--exact", action="store_true", help="look at all, however many they are")
    search.add_argument(
        "--filter",
        type=_json_argument,
        metavar="JSON",
        help="""as in '{"state": "open", "age": {"lt": 5}}'""",
    )
    search.add_argument(
        "-f", "--feature", dest="features", nargs="+", action="extend", default=[],
        metavar="VIEW:FEATURE", help="told of each hit",
    )  # fmt: skip


def _json_argument(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not JSON: {exc}") from exc


def _add_entities(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-e",
        "--entity",
        nargs="+",
        action="extend",
        type=entity_argument,
        required=True,
        metavar="KEY=VALUE",
        help="repeat a key for more rows; KEY:=JSON keeps JSON's types, as in zip:='\"00501\"'",
    )


def _add_historical(commands: Commands) -> None:
    history = commands.add(
        "get-historical-features", run_historical, "Make a training set: a file in, a file out."
    )
    add_frame(history, ".parquet or .csv")
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
    jobs.add_options(history)


def _add_offline_files(commands: Commands) -> None:
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
    warn(context, answer.warnings)
    show_online(context, answer)


def show_online(context: Context, answer: OnlineResponse) -> None:
    if context.out.as_json:
        context.out.json({"values": plain(answer.to_dict()), "statuses": answer.statuses()})
    else:
        context.out.table(online_rows(answer), answer.names)


def run_context(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.get_feature_context(
        args.features,
        columns(args.entity),
        feature_service=args.feature_service,
        max_tokens=args.max_tokens,
    )
    warn(context, answer.warnings)
    if context.out.as_json:
        context.out.json([vars(each) for each in answer])
        return
    for each in answer:
        context.out.line(each.text)
        if each.dropped:
            context.out.note(f"without room: {', '.join(each.dropped)}", "yellow")


def run_search(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.search(
        args.feature,
        args.vector,
        entity=dict(args.entity) if args.entity else None,
        k=args.k,
        metric=args.metric,
        filter=args.filter,
        features=args.features,
        exact=args.exact,
    )
    warn(context, answer.warnings)
    if answer.metadata["is_behind"]:
        context.out.note("rows came since the index was built, which may lack", "yellow")
    if context.out.as_json:
        context.out.json(
            {"metadata": answer.metadata, "hits": plain([vars(hit) for hit in answer])}
        )
        return
    rows = [{name: cell(value) for name, value in row.items()} for row in plain(answer.to_rows())]
    context.out.table(rows, list(rows[0]) if rows else ["distance"])


def run_historical(context: Context, args: argparse.Namespace) -> None:
    asked: JSON = {
        "features": args.features,
        "full_feature_names": args.full_feature_names,
        "feature_service": args.feature_service,
        "timing": args.timing,
        "explain": args.explain,
        "views": named_views(args.view or []),
    }
    if args.as_job:
        warnings = jobs.run_as_job(context, frame_of(args), args.output, asked).warnings
    else:
        warnings = context.store.write_historical_features(frame_of(args), args.output, **asked)
        warn(context, warnings)
    if context.out.as_json:
        context.out.json({"output": args.output, "warnings": warnings})
    else:
        context.out.line(f"wrote {args.output}")


def run_offline_files(context: Context, args: argparse.Namespace) -> None:
    found = context.store.offline_files(
        args.view, version=args.version, start=args.start, end=args.end
    )
    warn(context, found["warnings"])
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


def warn(context: Context, warnings: list[str]) -> None:
    for warning in warnings:
        context.out.note(f"warning: {warning}", "yellow")
