"""The subcommand that tells what definitions would change: to people, programs and pull requests.
Not for registering them; see definitions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from assay import plans
from assay.cli import github
from assay.cli.arguments import Commands, Context
from assay.cli.definitions import FILES_HELP, LOOK_ALL, announce, show_changes
from assay.errors import InvalidDefinition, PlanRefused
from assay.shapes import JSON

FORMATS = ("text", "json", "github")
FAIL_ON = "exit with 5 where something breaks, or also where a change is of the class major"


def add(commands: Commands) -> None:
    plan = commands.add("plan", run_plan, "Tell what applying definitions would change.")
    plan.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    plan.add_argument("--look-all", action="store_true", help=LOOK_ALL)
    plan.add_argument("--submit", action="store_true", help="tell what apply --submit would do")
    plan.add_argument(
        "--format", choices=FORMATS, default="text", help="github: the comment of a pull request"
    )
    plan.add_argument("--fail-on", choices=plans.FAIL_ON, default="none", help=FAIL_ON)
    plan.add_argument(
        "--annotate",
        action="store_true",
        help="also write GitHub annotations of the lines, to standard error",
    )


def run_plan(context: Context, args: argparse.Namespace) -> None:
    announce(context, args)
    try:
        plan = context.store.plan(args.files, submit=args.submit, look_all=args.look_all)
    except InvalidDefinition as exc:
        _show_problems(context, args, exc)
        raise
    _show(context, args, plan)
    if args.annotate:
        _annotate(context, github.plan_annotations(plan))
    if said := plans.too_much(plan, args.fail_on):
        raise PlanRefused(f"--fail-on {args.fail_on}: {said}.", fail_on=args.fail_on)


def _show(context: Context, args: argparse.Namespace, plan: JSON) -> None:
    if args.format == "github":
        context.out.text(github.plan_comment(plan))
    elif args.format == "json" or context.out.as_json:
        context.out.json({**plan, "summary": plans.summary(plan)._asdict()})
    else:
        show_changes(context, plan)


def _show_problems(context: Context, args: argparse.Namespace, error: InvalidDefinition) -> None:
    if args.format == "github":
        project = context.store.project or ""
        context.out.text(github.problems_comment(project, error.errors))
    if args.annotate:
        _annotate(context, github.problem_annotations(error.errors))


def _annotate(context: Context, commands: Iterable[str]) -> None:
    for command in commands:
        context.out.command(command)
