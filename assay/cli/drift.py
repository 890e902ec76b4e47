"""Subcommands that compare what is registered with files, and with the commits that said it.
Not for changing either.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from assay.cli.arguments import Commands, Context
from assay.cli.definitions import FILES_HELP, announce
from assay.errors import Differs
from assay.plans import named
from assay.shapes import JSON

COLUMNS = ("kind", "name", "version", "state", "standing", "commit", "changed_by", "changed_at")
EXIT_CODE = "exit with 4 where something differs"


def add(commands: Commands) -> None:
    diff = commands.add("diff", run_diff, "Compare files with what is registered.")
    diff.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    diff.add_argument("--exit-code", action="store_true", help=EXIT_CODE)
    diff.set_defaults(look_all=False)
    drift = commands.add("drift", run_drift, "List what was changed since a commit said it.")
    drift.add_argument("--all", action="store_true", help="also what is as its commit says")
    drift.add_argument("--exit-code", action="store_true", help=EXIT_CODE)


def run_diff(context: Context, args: argparse.Namespace) -> None:
    announce(context, args)
    plan = context.store.plan(args.files)
    found = compared(plan, context.store.registered())
    if context.out.as_json:
        context.out.json(found)
    else:
        _show(context, found)
    count = sum(len(found[key]) for key in ("only_here", "only_there", "differs"))
    if args.exit_code and count:
        noun = "object differs" if count == 1 else "objects differ"
        raise Differs(f"{count} {noun} between these files and project {plan['project']}.")


def compared(plan: JSON, registered: list[JSON]) -> JSON:
    """Sort what is in files and what is registered by where it is, and whether both say the same.

    ``waits``: the same is registered, and somebody has still to agree to it.
    """
    there = {named(each): each for each in registered}
    sent = [change for change in plan["changes"] if not change.get("because_of")]
    here = {named(change) for change in sent}
    changed = [change for change in sent if change["change"] == "updated"]
    same = [change for change in sent if change["change"] == "unchanged"]
    waits = [change for change in same if change.get("state") in ("draft", "in_review")]
    return {
        "project": plan["project"],
        "only_here": [_brief(each) for each in sent if each["change"] == "created"],
        "only_there": [each for name, each in there.items() if name not in here],
        "differs": [
            {**_brief(each), "registered": there.get(named(each))} | _differences(each)
            for each in changed
        ],
        "waits": [_brief(each) for each in waits],
        "same": len(same),
    }


def _brief(change: JSON) -> JSON:
    return {key: change.get(key) for key in ("kind", "name", "file", "line", "version", "state")}


def _differences(change: JSON) -> JSON:
    return {key: change.get(key) for key in ("class", "reasons", "differences")}


def _show(context: Context, found: JSON) -> None:
    out = context.out
    for each in found["only_here"]:
        out.line(f"only here: {named(each)} ({each['file']}:{each['line']})", "green")
    for each in found["only_there"]:
        out.line(f"only there: {named(each)}{_origin(each)}", "red")
    for each in found["differs"]:
        out.line(f"\ndiffers: {named(each)} ({each['file']}:{each['line']})", "yellow")
        there = each["registered"] or {}
        if there:
            by = f"{there['changed_by']}, {there['changed_at']}"
            out.line(f"  registered by {by}{_origin(there)}", "dim")
        for reason in each["reasons"] or []:
            out.line(f"  {reason}", "dim")
        # The registry before, the files after: what applying them would do.
        for difference in each["differences"] or []:
            out.changes(f"  {difference['path']}", difference["lines"])
    for each in found["waits"]:
        out.note(f"waits: {named(each)} is {each['state']}, somebody has to agree to it")
    counts = ", ".join(
        f"{len(found[key])} {words}"
        for key, words in (
            ("only_here", "only here"),
            ("only_there", "only there"),
            ("differs", "differ"),
        )
    )
    out.line(f"{counts}, {found['same']} the same in project {found['project']}.")


def run_drift(context: Context, args: argparse.Namespace) -> None:
    found = context.store.registered(standing=None if args.all else "drifted")
    changed = sum(each["standing"] == "drifted" for each in found)
    if context.out.as_json:
        context.out.json(found)
    else:
        columns = (
            "kind",
            "name",
            "version",
            "state",
            "standing",
            "commit",
            "changed_by",
            "changed_at",
        )
        context.out.table(list(_lines(found)), columns)
        noun = "object was" if changed == 1 else "objects were"
        context.out.line(f"{changed} {noun} changed since a commit said what it is.")
    if args.exit_code and changed:
        raise Differs(f"{changed} registered otherwise than the last commit says.")


def _lines(found: list[JSON]) -> Iterator[JSON]:
    for each in found:
        origin = each["origin"] or {}
        yield {**each, "commit": origin["commit"][:12] if origin else None}


def _origin(registered: JSON) -> str:
    origin = registered.get("origin")
    if not origin:
        return ""
    since = ", changed since" if registered["standing"] == "drifted" else ""
    return f" (commit {origin['commit'][:12]} of {origin['repository']}{since})"
