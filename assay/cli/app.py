"""The command's frame: global options, dispatch, exit codes.
Not for any subcommand.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from assay.cli import (
    accounts,
    alerts,
    authoring,
    budgets,
    catalogue,
    certificates,
    completion,
    datasets,
    definitions,
    drift,
    exports,
    grants,
    jobs,
    lifecycle,
    mcp,
    news,
    plans,
    profiles,
    proposals,
    pushing,
    questions,
    reads,
    reviews,
    runs,
    searching,
    streams,
    tokens,
    trail,
    usage,
)
from assay.cli.arguments import Commands, Context
from assay.cli.output import Output
from assay.cli.parser import Parser, parsed
from assay.errors import AssayError, Differs, NotConfigured, PlanRefused, ServerUnreachable
from assay.version import __version__

#: In the order in which help lists them.
GROUPS = (
    authoring,
    definitions,
    plans,
    exports,
    drift,
    lifecycle,
    reviews,
    news,
    runs,
    alerts,
    streams,
    profiles,
    certificates,
    budgets,
    searching,
    questions,
    grants,
    trail,
    usage,
    proposals,
    accounts,
    catalogue,
    tokens,
    reads,
    pushing,
    jobs,
    datasets,
    mcp,
    completion,
)
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
    args = parsed(make_parser(), argv)
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


def make_parser() -> argparse.ArgumentParser:
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
    for group in GROUPS:
        group.add(commands)
    return parser


def _global_options() -> argparse.ArgumentParser:
    """Make the options every command takes.

    No defaults: a subcommand's default would overwrite what stood before the subcommand.
    """
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--url", help="address of the server")
    options.add_argument("--token", help="bearer token; the environment is the safer place")
    options.add_argument("--project", help="name of the project")
    options.add_argument("--json", action="store_true", help="answer in JSON, for programs")
    return options
