"""Subcommands about accounts of others, for superusers.
Not for a project's service accounts and tokens: ``tokens`` has those.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from assay.cli.arguments import Commands, Context
from assay.errors import Invalid
from assay.shapes import JSON

COLUMNS = "user", "kind", "email", "is_active", "is_staff", "is_superuser", "login"
WORDS = {
    "username": "what it is called from now on",
    "first-name": "",
    "last-name": "",
    "email": "",
}
FLAGS = {
    "active": "false: it is shut out everywhere, with its tokens",
    "staff": "whether it may use the admin",
    "superuser": "whether it manages accounts and projects",
}


def add(commands: Commands) -> None:
    group = commands.group("accounts", "Accounts of people and programs, for superusers.")
    listing = group.add("list", run_list, "List them, or show one.")
    listing.add_argument("user", nargs="?", metavar="LOGIN")
    listing.add_argument("--limit", type=int, default=50)
    change = group.add("change", run_change, "Change one; what takes two people waits.")
    change.add_argument("user", metavar="LOGIN")
    for option, says in WORDS.items():
        change.add_argument(f"--{option}", help=says or None)
    for option, says in FLAGS.items():
        change.add_argument(f"--{option}", choices=("true", "false"), help=says)
    change.add_argument("--kind", choices=("person", "service_account"))
    password = group.add(
        "password",
        run_password,
        "Give somebody a password: it is asked for, or one line of standard input.",
    )
    password.add_argument("user", metavar="LOGIN")


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.accounts(user=args.user, limit=args.limit)
    if context.out.as_json:
        context.out.json(found)
    else:
        context.out.table(found, COLUMNS)


def run_change(context: Context, args: argparse.Namespace) -> None:
    names = (*(name.replace("-", "_") for name in WORDS), "kind")
    changes: dict[str, str | bool] = {
        name: value for name in names if (value := getattr(args, name)) is not None
    }
    for name in FLAGS:
        if (value := getattr(args, name)) is not None:
            changes[f"is_{name}"] = value == "true"
    if not changes:
        raise Invalid("say what to change; `assay accounts change --help` lists what can be")
    _say(context, context.store.change_account(args.user, **changes))


def run_password(context: Context, args: argparse.Namespace) -> None:
    _say(context, context.store.give_password(args.user, _password(args.user)))


def _password(user: str) -> str:
    """Ask twice, or read a line where nobody can be asked; an argument would be seen by others."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password of {user}: ")
    if password != getpass.getpass("Again: "):
        raise Invalid("the two are not the same; nothing is changed")
    return password


def _say(context: Context, answer: JSON) -> None:
    proposal = answer["proposal"]
    if context.out.as_json:
        context.out.json(answer)
    elif proposal:
        who = ", ".join(proposal["could_agree"])
        context.out.line(
            f"proposal {proposal['id']} waits for a second person: {proposal['does']}."
            f" Who could agree: {who}; `assay proposals accept {proposal['id']} --everywhere`."
        )
    else:
        context.out.line(f"{answer['account']['user']}: done.")
    if answer["alone"]:
        context.out.note("nobody else could agree to that, and the trail says so")
