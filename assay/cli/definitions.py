"""The subcommand that registers definitions, and what it shows of their changes.
Not for plans (see plans) or for versions once they exist (see lifecycle).
"""

from __future__ import annotations

import argparse
import re

from assay import plans
from assay.cli.arguments import Commands, Context
from assay.definitions import body_of
from assay.shapes import JSON

COLUMNS = ("kind", "name", "change", "class", "version", "state")
FILES_HELP = "YAML or JSON files, or folders"
LOOK_ALL = "look at the data also of views that are registered as they are sent"


def add(commands: Commands) -> None:
    apply = commands.add("apply", run_apply, "Register definitions.")
    apply.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    apply.add_argument("--plan", action="store_true", help="only tell what would change")
    apply.add_argument("--submit", action="store_true", help="also send new drafts to review")
    apply.add_argument("--look-all", action="store_true", help=LOOK_ALL)
    apply.add_argument(
        "--drafts-only", action="store_true", help="refuse all but what is new and own drafts"
    )
    apply.add_argument("--repository", metavar="URL", help="where the files are from")
    apply.add_argument("--commit", metavar="SHA", help="the commit they are; each object keeps it")
    apply.add_argument("--ref", help="its branch or tag")


def announce(context: Context, args: argparse.Namespace) -> None:
    """Say to who waits what the server is about to do."""
    count = len(body_of(args.files)["files"])
    of_what = "every view" if args.look_all else "each view that is new or changed"
    context.out.progress(
        f"sending {count} {'file' if count == 1 else 'files'}; the server looks at the data of"
        f" {of_what}, which takes its time"
    )


def run_apply(context: Context, args: argparse.Namespace) -> None:
    announce(context, args)
    answer = context.store.apply(
        args.files,
        plan=args.plan,
        submit=args.submit,
        look_all=args.look_all,
        drafts_only=args.drafts_only,
        repository=without_login(args.repository),
        commit=args.commit,
        ref=args.ref,
    )
    if context.out.as_json:
        context.out.json(answer)
    else:
        show_changes(context, answer)


def without_login(address: str | None) -> str | None:
    """Leave out of a repository's address the log-in that a pipeline's has: it is shown to many."""
    return address and re.sub("://[^/]*@", "://", address, count=1)


def show_changes(context: Context, answer: JSON) -> None:
    changes = answer["changes"]
    context.out.table(changes, COLUMNS)
    for change in changes:
        name = f"{change['kind']} {change['name']}"
        for reason in change.get("reasons") or []:
            context.out.line(f"  {name}: {reason}", "dim")
        for broken in plans.breaks(change):
            context.out.line(f"  {name}: breaks {broken}", "red")
        for warning in plans.warnings(change):
            context.out.note(f"warning: {name}: {warning}", "yellow")
    if unlooked := answer.get("not_looked_at"):
        context.out.line(
            f"{unlooked} {'view is' if unlooked == 1 else 'views are'} registered as sent; the data"
            " were not looked at (--look-all does)."
        )
    count = sum(change["change"] != "unchanged" for change in changes)
    verb = "would change" if answer["dry_run"] else "changed"
    context.out.line(f"{count} of {len(changes)} objects {verb} in project {answer['project']}.")
