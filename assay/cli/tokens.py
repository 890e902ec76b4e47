"""Subcommands about service accounts and API tokens.
Not for roles of people; the admin has those.
"""

from __future__ import annotations

import argparse

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

ACCOUNTS = ("name", "roles", "owner", "active", "live_tokens", "calls_per_minute", "description")
TOKENS = ("id", "name", "user", "state", "expires_at", "last_used_at", "calls_per_minute", "prefix")
LIFTED = "0: no limit of its own"
LIMITS = {
    "view": "limit it to this feature view",
    "right": "limit it to this right, as in read_online",
    "network": "limit it to this network, as in 10.1.0.0/16",
}


def add(commands: Commands) -> None:
    accounts = commands.group("service-accounts", "Accounts of programs.")
    accounts.add("list", run_accounts, "List the project's service accounts.")
    describe = accounts.add("describe", run_account, "Show one with its tokens.")
    describe.add_argument("name", metavar="NAME")
    create = accounts.add("create", run_create, "Make a service account.")
    create.add_argument("name", metavar="NAME", help="a to z, digits and -")
    create.add_argument("--role", required=True, help="what it is in the project, as in consumer")
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument("--owner", metavar="LOGIN", help="whom to ask about it; default: you")
    change = accounts.add("change", run_change, "Describe it, give it another owner, shut it out.")
    change.add_argument("name", metavar="NAME")
    change.add_argument("--description")
    change.add_argument("--owner", metavar="LOGIN")
    change.add_argument("--calls-per-minute", type=int, metavar="N", help=f"each token's; {LIFTED}")
    change.add_argument("--active", choices=("true", "false"), help="false: no token of it works")
    _add_tokens(commands.group("tokens", "API tokens of a project."))


def _add_tokens(tokens: Commands) -> None:
    listed = tokens.add("list", run_tokens, "List your tokens, as an owner all of the project.")
    listed.add_argument("--live", action="store_true", help="only those that work now")
    issue = tokens.add("issue", run_issue, "Make a token and print it, once.")
    issue.add_argument("name", metavar="NAME", help="what it is for")
    issue.add_argument("--for", dest="account", metavar="SERVICE_ACCOUNT", help="default: you")
    issue.add_argument("--days", type=int, default=90)
    for name, what in LIMITS.items():
        issue.add_argument(f"--{name}", action="append", default=[], help=f"{what}, repeatable")
    issue.add_argument("--calls-per-minute", type=int, metavar="N", help=f"at most; {LIFTED}")
    rotate = tokens.add("rotate", run_rotate, "Make a token's successor and print it, once.")
    rotate.add_argument("id", type=int, metavar="ID")
    rotate.add_argument("--days", type=int, help="default: as long as it was made for")
    rotate.add_argument(
        "--overlap-hours", type=int, default=24, help="for which the old one goes on (24)"
    )
    revoke = tokens.add("revoke", run_revoke, "End a token.")
    revoke.add_argument("id", type=int, metavar="ID")


def run_accounts(context: Context, args: argparse.Namespace) -> None:
    _table(context, context.store.list_service_accounts(), ACCOUNTS)


def run_account(context: Context, args: argparse.Namespace) -> None:
    found = context.store.service_account(args.name)
    if context.out.as_json:
        context.out.json(found)
        return
    context.out.table([found], ACCOUNTS)
    context.out.table(found["tokens"], TOKENS)


def run_create(context: Context, args: argparse.Namespace) -> None:
    made = context.store.make_service_account(
        args.name, role=args.role, description=args.description, owner=args.owner
    )
    _say(context, made, f"{made['account']} is made; `assay tokens issue NAME --for {args.name}`.")


def run_change(context: Context, args: argparse.Namespace) -> None:
    active = None if args.active is None else args.active == "true"
    changed = context.store.change_service_account(
        args.name,
        description=args.description,
        owner=args.owner,
        active=active,
        calls_per_minute=args.calls_per_minute,
    )
    _say(context, changed, f"{changed['account']} is changed.")


def run_tokens(context: Context, args: argparse.Namespace) -> None:
    _table(context, context.store.list_tokens(live=args.live), TOKENS)


def run_issue(context: Context, args: argparse.Namespace) -> None:
    made = context.store.issue_token(
        args.name,
        service_account=args.account,
        days=args.days,
        views=args.view,
        rights=args.right,
        networks=args.network,
        calls_per_minute=args.calls_per_minute,
    )
    _say(context, made, made["token"])


def run_rotate(context: Context, args: argparse.Namespace) -> None:
    made = context.store.rotate_token(args.id, days=args.days, overlap_hours=args.overlap_hours)
    _say(context, made, made["token"])


def run_revoke(context: Context, args: argparse.Namespace) -> None:
    ended = context.store.revoke_token(args.id)
    _say(context, ended, f"{ended['name']} ({ended['prefix']}…) is refused from now on.")


def _table(context: Context, rows: list[JSON], columns: tuple[str, ...]) -> None:
    context.out.rows(rows, columns)


def _say(context: Context, answer: JSON, words: str) -> None:
    if context.out.as_json:
        context.out.json(answer)
    else:
        context.out.text(f"{words}\n")
