"""The command's frame: global options, dispatch, exit codes.
Not for any subcommand.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from assay.cli.arguments import Commands, Context
from assay.cli.output import Output
from assay.cli.parser import Parser, parsed
from assay.errors import AssayError, Differs, NotConfigured, PlanRefused, ServerUnreachable
from assay.version import __version__

#: Module → its commands, in the order in which help lists them. A line needs the module of its own
#: command alone: the others are imported for help, and for a word that is none.
GROUPS = {
    "authoring": ("init", "import"),
    "definitions": ("apply",),
    "plans": ("plan",),
    "exports": ("export",),
    "drift": ("diff", "drift"),
    "lifecycle": (
        "submit", "withdraw", "approve", "reject", "break-glass", "confirm", "object", "promote",
        "deprecate", "restore", "retire", "review",
    ),
    "reviews": ("reviews", "ask", "comments", "comment", "resolve", "approve-together"),
    "news": ("notifications",),
    "runs": ("materialize", "materialize-incremental", "backfill", "runs"),
    "alerts": ("alerts",),
    "streams": ("streams",),
    "profiles": ("profile", "set-baseline"),
    "certificates": ("compare", "certificates"),
    "budgets": ("budget", "set-budget"),
    "searching": ("search", "feature", "lineage"),
    "questions": ("questions",),
    "grants": ("grants",),
    "trail": ("audit",),
    "usage": ("usage",),
    "proposals": ("proposals",),
    "accounts": ("login", "accounts"),
    "catalogue": (
        "entities", "data-sources", "feature-views", "feature-services", "projects", "roots",
        "connections", "whoami",
    ),
    "tokens": ("service-accounts", "tokens"),
    "reads": (
        "get-online-features", "get-feature-context", "search-vectors", "get-historical-features",
        "offline-files",
    ),
    "pushing": ("push", "compute"),
    "jobs": ("historical-jobs",),
    "datasets": ("datasets",),
    "mcp": ("mcp",),
    "completion": ("completion",),
}  # fmt: skip
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
#: Answers that a workflow asked to be told of.
EXIT_DIFFERS = 4
EXIT_PLAN_REFUSED = 5
EXIT_INTERRUPTED = 130
EXIT_CODES = {
    ServerUnreachable: EXIT_UNREACHABLE,
    NotConfigured: EXIT_USAGE,
    Differs: EXIT_DIFFERS,
    PlanRefused: EXIT_PLAN_REFUSED,
}
EPILOG = """\
url, token and project come from options, then ASSAY_URL, ASSAY_TOKEN or ASSAY_TOKEN_FILE, and
ASSAY_PROJECT, then assay.toml here or in a folder above.
exit codes: 0 done, 1 refused or invalid, 2 wrong usage, 3 server unreachable,
4 what is registered differs (--exit-code), 5 a plan is more than --fail-on takes"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and give its exit code."""
    args = parsed(make_parser(groups_of(argv)), argv)
    out = Output(as_json=getattr(args, "json", False))
    url, token, project = (getattr(args, name, None) for name in ("url", "token", "project"))
    context = Context((url, token, project), out)
    try:
        args.run(context, args)
        sys.stdout.flush()
    except AssayError as exc:
        out.error(exc)
        return exit_code(exc)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our pipe (head, less) has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        context.close()
    return 0


def exit_code(error: AssayError) -> int:
    return next(
        (code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), EXIT_REFUSED
    )


def groups_of(argv: Sequence[str] | None) -> Sequence[str]:
    """Give the modules that a line needs: its command's; none for ``--version``; else all."""
    try:
        _, words = _global_options().parse_known_args(argv)
    except argparse.ArgumentError:
        words = []  # a value lacks: the whole parser says so
    if words == ["--version"]:
        return ()
    if not words or words[0] == "completion":  # which writes of them all
        return tuple(GROUPS)
    return [group for group, names in GROUPS.items() if words[0] in names] or tuple(GROUPS)


def make_parser(groups: Sequence[str] = tuple(GROUPS)) -> argparse.ArgumentParser:
    """Make the parser of all commands, or of those of some modules."""
    options = _global_options()
    parser = Parser(
        prog="assay",
        description="Define, review, materialize and read features of an Assay server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[options],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"assay {__version__}")
    commands = Commands(parser.add_subparsers(metavar="COMMAND", required=True), options)
    for group in groups:
        import_module(f"assay.cli.{group}").add(commands)
    return parser


def _global_options() -> argparse.ArgumentParser:
    """Make the options every command takes.

    No defaults: a subcommand's default would overwrite what stood before the subcommand.
    """
    options = argparse.ArgumentParser(
        add_help=False,
        argument_default=argparse.SUPPRESS,
        exit_on_error=False,
        allow_abbrev=False,  # as the whole parser: what it would refuse is not half understood here
    )
    options.add_argument("--url", help="address of the server")
    options.add_argument("--token", help="bearer token; the environment is the safer place")
    options.add_argument("--project", help="name of the project")
    options.add_argument("--json", action="store_true", help="answer in JSON, for programs")
    return options
