"""The subcommands that write first definitions: from data files, from other stores' definitions.
Not for registering them, which is apply's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.authoring.initial import first_definitions
from assay.cli.arguments import Commands, Context
from assay.errors import Invalid, why_unreadable


def add(commands: Commands) -> None:
    init = commands.add("init", run_init, "Write commented definitions for data files.")
    init.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="data files or folders")
    init.add_argument(
        "--root", type=Path, metavar="DIR", help="the folder that the project's root is"
    )
    init.add_argument(
        "--out", default="-", metavar="FILE", help="- is standard output, the default"
    )


def run_init(context: Context, args: argparse.Namespace) -> None:
    write(context, args.out, first_definitions(args.paths, args.root))


def write(context: Context, out: str, text: str) -> None:
    """Write definitions to a new file, or to standard output.

    :raises Invalid: there is such a file, or none can be made there.
    """
    if out == "-":
        context.out.text(text)
        return
    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as exc:
        raise Invalid(f"{path} is there already; name another file, or move it away") from exc
    except OSError as exc:
        raise Invalid(f"{path} cannot be written: {why_unreadable(exc)}", path=out) from exc
    if context.out.as_json:
        context.out.json({"file": out})
    else:
        context.out.line(
            f"{path} is written; read it, change what is wrong, then assay plan {path}"
        )
