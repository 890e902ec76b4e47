"""The subcommand that shows the audit trail, or writes it as lines to keep.
Not for what a command of this shell did; its output says that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from assay.cli.arguments import Commands, Context, add_output
from assay.shapes import JSON

FILTERS = {
    "--verb": "as in feature_view_version.approved, or how it begins",
    "--subject": "how the subject's name begins",
    "--actor": "user name",
    "--since": "from this instant on, as in 2026-11-27T00:00:00Z",
    "--until": "before this instant",
    "--request-id": "what one request left: the X-Request-Id of its answer",
    "--q": "words in the subject, a comment, a reason or a refusal",
}


def add(commands: Commands) -> None:
    audit = commands.add("audit", run_audit, "Show the project's trail, or write all of it.")
    for option, says in FILTERS.items():
        audit.add_argument(option, help=says)
    audit.add_argument("--limit", type=int, default=50, help="entries that are shown, default 50")
    kinds = ("jsonl", "csv")
    audit.add_argument("--format", choices=kinds, help="write every entry, the oldest first")
    add_output(audit, type=Path, metavar="FILE", help="where to, with --format")


def run_audit(context: Context, args: argparse.Namespace) -> None:
    filters = [name[2:].replace("-", "_") for name in FILTERS]
    asked = {name: getattr(args, name) for name in filters}
    if args.format:
        _write(context, args, asked)
        return
    entries = context.store.audit(limit=args.limit, **asked)
    # Definitions fill pages: before and after are in `--json`, what people wrote is here.
    columns = ("at", "actor", "verb", "subject", "comment")
    context.out.rows(entries, columns, row=lambda each: each | {"comment": _words(each["data"])})


def _write(context: Context, args: argparse.Namespace, asked: dict[str, str | None]) -> None:
    if args.output is None:
        context.store.export_audit(sys.stdout.buffer, format=args.format, **asked)
        return
    with args.output.open("wb") as file:
        context.store.export_audit(file, format=args.format, **asked)
    if context.out.as_json:
        context.out.json({"output": str(args.output), "format": args.format})
    else:
        context.out.note(f"wrote {args.output}")


def _words(data: JSON) -> str:
    """Return what somebody wrote with a deed."""
    return str(data.get("comment") or data.get("reason") or "")
