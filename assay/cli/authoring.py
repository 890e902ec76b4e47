"""The subcommands that write first definitions: from data files, from other stores' definitions.
Not for registering them, which is apply's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.authoring import autofs, feast
from assay.authoring.carried import Carried
from assay.authoring.initial import first_definitions
from assay.cli.arguments import Commands, Context, add_output
from assay.errors import Invalid, why_unreadable


def add(commands: Commands) -> None:
    init = commands.add("init", run_init, "Write commented definitions for data files.")
    init.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="data files or folders")
    init.add_argument(
        "--root", type=Path, metavar="DIR", help="the folder that the project's root is"
    )
    add_output(init, default="-", metavar="FILE", help="- is standard output, the default")

    imported = commands.group("import", "Write another store's definitions as ours.")
    for name, run, help_text in IMPORTS:
        one = imported.add(name, run, help_text)
        one.add_argument("path", type=Path, metavar="PATH")
        add_output(one, type=Path, default=Path("definitions"), metavar="DIR")
        if run is run_feast:
            one.add_argument("--python", metavar="FILE", help="the interpreter that has Feast")


def run_feast(context: Context, args: argparse.Namespace) -> None:
    _written(context, feast.carry(args.path, args.python), args.output)


def run_autofs(context: Context, args: argparse.Namespace) -> None:
    _written(context, autofs.carry(args.path), args.output)


def _written(context: Context, carried: Carried, folder: Path) -> None:
    definitions, report = carried.write(folder)
    if context.out.as_json:
        said = {part: [list(each) for each in lines] for part, lines in carried.said.items()}
        context.out.json({"definitions": str(definitions), "report": str(report), "said": said})
        return
    context.out.line(f"{definitions}: {len(carried.objects)} definitions.")
    for part, lines in carried.said.items():
        if lines:
            context.out.line(f"{part}: {len(lines)}")
    context.out.line(f"{report} says what; read it before assay plan {definitions}")


IMPORTS = (
    ("feast", run_feast, "Read a Feast repository, or its registry file."),
    ("autofs", run_autofs, "Read a folder of YAML with a feature_name each."),
)


def run_init(context: Context, args: argparse.Namespace) -> None:
    write(context, args.output, first_definitions(args.paths, args.root))


def write(context: Context, out: str, text: str) -> None:
    """Write definitions to a new file, or to standard output.

    :raises Invalid: there is such a file, or none can be made there.
    """
    if out == "-":
        if context.out.as_json:
            context.out.json({"file": None, "definitions": text})
        else:
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
