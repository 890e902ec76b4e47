"""The subcommand that writes what is registered as definitions, one file an object or one stream.
Not for what they say: the server writes them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from assay.cli.arguments import Commands, Context, add_output
from assay.errors import Invalid, ServerError, why_unreadable
from assay.shapes import JSON

FOLDERS = {
    "Entity": "entities",
    "DataSource": "data_sources",
    "FeatureView": "feature_views",
    "OnDemandFeatureView": "feature_views",
    "FeatureService": "feature_services",
}
STATES = ("draft", "in_review", "approved", "deprecated")
#: What a file may be called: the name comes from elsewhere.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def add(commands: Commands) -> None:
    export = commands.add("export", run_export, "Write what is registered as definitions.")
    export.add_argument("names", nargs="*", metavar="NAME", help="objects; without one all")
    says = "a file for each object; - for standard output"
    add_output(export, default="-", metavar="DIR", help=says)
    export.add_argument(
        "--state", choices=STATES, help="views alone, by their newest version in this state"
    )
    export.add_argument(
        "--unversioned", action="store_true", help="leave the numbers of versions out"
    )


def run_export(context: Context, args: argparse.Namespace) -> None:
    found = context.store.export(args.names, state=args.state, unversioned=args.unversioned)
    if args.output != "-":
        _write(context, Path(args.output), found, all_of_it=not (args.names or args.state))
    elif context.out.as_json:
        context.out.json(found)
    else:
        context.out.text("---\n".join(each["definition"] for each in found))


def _write(context: Context, folder: Path, found: Sequence[JSON], *, all_of_it: bool) -> None:
    files = {folder / file_of(each): each for each in found}
    rows = [
        {"file": str(path), "became": _written(path, each["definition"])}
        for path, each in files.items()
    ]
    others = sorted(map(str, _definitions_in(folder) - files.keys())) if all_of_it else []
    if context.out.as_json:
        context.out.json({"files": rows, "not_registered": others})
        return
    written = sum(row["became"] != "unchanged" for row in rows)
    context.out.table(rows, ("file", "became"))
    context.out.line(f"{written} of {len(rows)} files written.")
    for path in others:
        context.out.note(f"not registered, left as it is: {path}", "yellow")


def file_of(exported: JSON) -> Path:
    """Return the path of an object's file below the folder of an export.

    :raises ServerError: the server's answer has a kind or a name that none can be.
    """
    kind, name = exported["kind"], exported["name"]
    if kind not in FOLDERS or not _NAME.fullmatch(name):
        raise ServerError(f"the server answered {kind!r} {name!r}, which is no file's name")
    return Path(FOLDERS[kind]) / f"{name}.yaml"


def _written(path: Path, text: str) -> str:
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else None
        if before == text:
            return "unchanged"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"{path} cannot be written: {why_unreadable(exc)}", path=str(path)) from exc
    return "created" if before is None else "updated"


def _definitions_in(folder: Path) -> set[Path]:
    folders: Iterable[str] = set(FOLDERS.values())
    return {path for each in folders for path in (folder / each).glob("*.yaml")}
