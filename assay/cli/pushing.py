"""The subcommands that send rows: to be kept, or for what a view makes of them.
Not for runs, which load files; see runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from assay.cli.arguments import Commands, Context
from assay.cli.reads import show_online, warn
from assay.errors import Invalid, QualityRejected
from assay.pushing import BATCH_ROWS
from assay.row_files import rows_in


def add(commands: Commands) -> None:
    push = commands.add("push", run, "Send rows to a push source: online at once.")
    push.add_argument("source", metavar="SOURCE", help="a data source of type push")
    push.add_argument(
        "file", metavar="FILE", help=".parquet, .arrow, .csv or .jsonl; - is standard input"
    )
    push.add_argument("--partial", action="store_true", help="take the good rows, list the others")
    push.add_argument("--key", help="makes the whole call count once, however often it is repeated")
    push.add_argument(
        "--batch-rows", type=int, default=BATCH_ROWS, metavar="N", help=f"a request ({BATCH_ROWS})"
    )
    compute = commands.add(
        "compute", run_compute, "Show what a view makes of rows; nothing is stored."
    )
    compute.add_argument("view", metavar="VIEW", help="a view, or VIEW@1.2.0")
    compute.add_argument("file", metavar="FILE", help="as of push: rows of the view's source")
    compute.add_argument("--partial", action="store_true", help="leave out rows it cannot make")


def run_compute(context: Context, args: argparse.Namespace) -> None:
    pieces = rows_in(args.file, BATCH_ROWS, dict)
    rows = next(pieces)
    if next(pieces, None) is not None:
        raise Invalid(f"{args.file} has more than {BATCH_ROWS:,} rows, which is all that is shown")
    answer = context.store.compute(args.view, rows, partial=args.partial)
    warn(context, answer.warnings)
    show_online(context, answer)


def run(context: Context, args: argparse.Namespace) -> None:
    try:
        answer = context.store.push_file(
            args.source,
            args.file,
            partial=args.partial,
            idempotency_key=args.key,
            batch_rows=args.batch_rows,
        )
    except QualityRejected as exc:
        if not context.out.as_json:
            _tell_refused(context, exc.data.get("refused", ()))
            taken = exc.data.get("taken", 0)  # by the requests before: they stay
            context.out.note(f"{taken} rows taken before these; --partial takes the others too")
        raise
    if context.out.as_json:
        context.out.json(answer)
        return
    context.out.line(f"{answer['taken']} of {answer['rows']} rows taken")
    _tell_refused(context, answer["refused"])


def _tell_refused(context: Context, refused: Iterable[Mapping[str, Any]]) -> None:
    for each in refused:
        said = f"row {each['row']}, {each['column']} {each['value']}: {each['valid']}"
        context.out.note(said, "yellow")
