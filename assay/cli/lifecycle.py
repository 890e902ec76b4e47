"""Subcommands that move a version through its lifecycle, and show what its reviewer needs.
Not for what is allowed: the server says.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from assay.cli.arguments import Commands, Context, instant_argument

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTIONS = {
    "submit": "Send a draft to review.",
    "withdraw": "Take a version back from review.",
    "approve": "Approve a version under review.",
    "reject": "Send a version under review back to its author; say why with --comment.",
    "break-glass": "Approve in an emergency without the four eyes; say why with --comment.",
    "confirm": "Approve afterwards what was approved by breaking the glass.",
    "object": "Object to what was approved by breaking the glass; say why with --comment.",
    "promote": "Make an approved, loaded version the default.",
    "deprecate": "Mark a version as on its way out; it still answers.",
    "restore": "Take a deprecation back.",
    "retire": "End a version for good.",
}
REFERENCE_HELP = "without a version: the only one this can be done to"


PACKET = {
    "--packet": {
        "dest": "packet_hash",
        "required": True,
        "metavar": "HASH",
        "help": "the packet hash that `assay review` showed: what is decided on",
    }
}
REVIEWERS = {
    "--reviewer": {
        "dest": "reviewers",
        "action": "append",
        "metavar": "USER",
        "help": "whom to ask to decide; several times for several",
    }
}
FORCE = {
    "--force": {
        "action": "store_true",
        "help": "although it is used, or breaks services; needs a --comment",
    }
}
#: Actions whose method of the client is called otherwise.
METHODS = {"break-glass": "break_glass", "object": "object_to"}
UNTIL = {
    "--until": {
        "type": instant_argument,
        "metavar": "INSTANT",
        "help": "when it ends unless somebody confirmed it; within 7 days, without one in a day",
    }
}
SUNSET = {
    "--until": {
        "type": instant_argument,
        "metavar": "INSTANT",
        "help": "until when it is to answer; readers are told",
    }
}
#: What single actions take beside a comment.
OPTIONS: dict[str, dict[str, Any]] = {
    "submit": REVIEWERS,
    "approve": PACKET,
    "reject": PACKET,
    "break-glass": PACKET | UNTIL,
    "confirm": PACKET,
    "object": PACKET,
    "promote": FORCE,
    "deprecate": SUNSET,
    "retire": FORCE,
}


def add(commands: Commands) -> None:
    for action, help_text in ACTIONS.items():
        parser = commands.add(action, run_transition, help_text)
        parser.add_argument("reference", metavar="VIEW[@VERSION]", help=REFERENCE_HELP)
        parser.add_argument("--comment", default="", help="kept in the review and the trail")
        parser.set_defaults(action=action)
        for flag, options in OPTIONS.get(action, {}).items():
            parser.add_argument(flag, **options)
    review = commands.add("review", run_review, "Show the evidence for a version under review.")
    review.add_argument("reference", metavar="VIEW[@VERSION]", help=REFERENCE_HELP)


def run_transition(context: Context, args: argparse.Namespace) -> None:
    options = ("packet_hash", "force", "reviewers", "until")
    given = {name: getattr(args, name) for name in options if name in args}
    take = getattr(context.store, METHODS.get(args.action, args.action))
    version = take(args.reference, comment=args.comment, **given)
    if context.out.as_json:
        context.out.json(version)
        return
    default = ", the default" if version.get("default") else ""
    reference = f"{version['name']}@{version['version'] or 'draft'}"
    if args.action == "approve" and version["state"] == "in_review":
        review = context.store.review(reference)
        said = f"your approval is recorded, {review['given']} of {review['required']}"
        context.out.line(f"{reference}: {said}; it still waits.")
    else:
        context.out.line(f"{reference} is {version['state']}{default}.")
    if version.get("break_glass"):
        context.out.line(glass_in_words(version["break_glass"]), "bold red")


def glass_in_words(glass: Mapping[str, Any]) -> str:
    """Say how a version is marked: who broke its glass, until when, and who objected."""
    if glass["verdict"]:
        return f"{glass['looked_by']} objected to its broken glass: {glass['comment']}"
    return (
        f"glass broken by {glass['by']} until {glass['until']}, not confirmed yet:"
        f" {glass['reason']}"
    )


#: Files that are listed with their marks; of more the first and the last.
MOST_FILES = 5
#: Of a packet; the difference has lines of its own.
NOT_SHOWN = ("diff", "submitted_by", "reviewers", "read_by")


def run_review(context: Context, args: argparse.Namespace) -> None:
    answer = context.store.review(args.reference)
    if context.out.as_json:
        context.out.json(answer)
        return
    facts = {
        "version": answer["version"],
        "state": answer["state"],
        "approvals": f"{answer['given']} of {answer['required']}",
        "packet_hash": answer["packet_hash"],
    }
    # Of its people the packet has what says nothing to people: pseudonyms and numbers.
    packet = {key: value for key, value in answer["packet"].items() if key not in NOT_SHOWN}
    if "source" in packet:
        packet["source"] = _few_files(packet["source"])
    context.out.describe({**facts, "submitted_by": answer["submitted_by"], **packet})
    if answer.get("break_glass"):
        context.out.line(glass_in_words(answer["break_glass"]), "bold red")
    for each in answer.get("read_by", ()):
        context.out.line(f"read by {each['reader']}: {each['version']}, {each['last_read_at']}")
    for change in answer["changes"]:
        context.out.changes(change["path"], change["lines"])
    if answer.get("evidence"):
        _show_evidence(context, answer["evidence"])
    if answer["approvals"]:
        columns = ("reviewer", "verdict", "current", "comment", "created_at")
        context.out.table(answer["approvals"], columns, title="reviews")


def _few_files(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a packet's source with the ends of a long list of files, not each and its mark."""
    files = sorted(source.get("files", ()))
    if len(files) <= MOST_FILES:
        return dict(source)
    return {**source, "files": f"{len(files)}, {files[0]} to {files[-1]}; --json has all"}


def _show_evidence(context: Context, evidence: Mapping[str, Any]) -> None:
    """Print what was found out about the data, and of each part that was not why."""
    if evidence["status"] != "computed":
        context.out.line("\nevidence: a worker computes it; ask again in a moment.")
        return
    parts = evidence["parts"]
    for name, part in parts.items():
        if "why" in part:
            context.out.line(f"\n{name}: {part['why']}")
    compared = parts["comparison"].get("facts", {})
    rows = [
        {"feature": name, "equal_%": round(100 * found["equal"] / max(compared["rows"], 1), 1)}
        | {key: found[key] for key in ("only_before", "only_after", "psi", "ks")}
        for name, found in compared.get("features", {}).items()
    ]
    if rows:
        title = f"both versions at {compared['rows']} entities and times"
        context.out.table(rows, tuple(rows[0]), title=title)
    fits = parts.get("fit", {}).get("facts", {}).get("features", {})
    rows = [{"feature": name, **facts} for name, facts in fits.items()]
    if rows:
        columns = ["feature", "encoding", "rows"]
        told = "rows_of", "stored_since", "lacks_before"
        columns += [each for each in told if any(each in row for row in rows)]
        context.out.table(rows, tuple(columns), title="what encodings are fitted on")
    for name in ("leakage", "cost"):
        if facts := parts[name].get("facts"):
            context.out.line(f"\n{name}", "bold")
            context.out.describe(facts)
