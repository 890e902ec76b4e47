"""Subcommands about accounts: logging in to one's own, those of others for superusers.
Not for a project's service accounts and tokens: ``tokens`` has those.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from functools import partial
from pathlib import Path

from assay.cli.arguments import Commands, Context
from assay.errors import Conflict, Invalid, why_unreadable
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
    login = commands.add("login", run_login, "Make a token of your own, for your password.")
    login.add_argument("user", metavar="LOGIN")
    login.add_argument("--days", type=int, default=30, help="how long it lives (30)")
    login.add_argument("--name", default="command line", help="what it is called in lists")
    login.add_argument(
        "--token-file", metavar="FILE", help="write it there, for you alone; default: print it"
    )
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


def run_login(context: Context, args: argparse.Namespace) -> None:
    password = _line(f"Password of {args.user}: ")
    asked = {"token_name": args.name, "days": args.days}
    store = context.without_token
    try:
        made = store.log_in(args.user, password, **asked)
    except Conflict as exc:
        if exc.code != "password_not_your_own":
            raise
        context.out.note("Somebody else set this password; set one of your own.")
        own = _password(args.user)
        made = store.log_in(args.user, password, new_password=own, **asked)
    if args.token_file:
        _keep(Path(args.token_file), made.pop("token"))
    if context.out.as_json:
        context.out.json(made)
    elif args.token_file:
        context.out.line(f"{args.token_file} has {args.user}'s token, until {made['expires_at']}.")
    else:
        context.out.text(made["token"] + "\n")


def _keep(path: Path, token: str) -> None:
    """Write a secret for its owner's eyes only, in place of what was there."""
    try:
        path.unlink(missing_ok=True)
        with open(path, "x", opener=partial(os.open, mode=0o600), encoding="utf-8") as file:  # noqa: PTH123
            file.write(token + "\n")
    except OSError as exc:
        raise Invalid(f"{path} cannot be written: {why_unreadable(exc)}", path=str(path)) from exc


def run_list(context: Context, args: argparse.Namespace) -> None:
    found = context.store.accounts(user=args.user, limit=args.limit)
    context.out.rows(found, COLUMNS)


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
    password = _line(f"New password of {user}: ")
    if not sys.stdin.isatty():
        return password
    if password != getpass.getpass("Again: "):
        raise Invalid("the two are not the same; nothing is changed")
    return password


def _line(asking: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(asking)
    return sys.stdin.readline().rstrip("\r\n")


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
