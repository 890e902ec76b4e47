"""What the groups of subcommands share: the context they run in and their argument types.
Not for any subcommand itself.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import assay
from assay.all_entities import AllEntities
from assay.cli.output import Output
from assay.encoding import parse_instant
from assay.entity_query import EntityQuery
from assay.errors import Invalid

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Context:
    """What a subcommand works with; the store is looked for by the first that asks it."""

    #: ``url``, ``token`` and ``project``, as far as they were options.
    given: tuple[str | None, str | None, str | None]
    out: Output

    @cached_property
    def store(self) -> assay.FeatureStore:
        """:raises NotConfigured: what the environment or a file says of it cannot be used."""
        return assay.FeatureStore(*self.given)

    @cached_property
    def without_token(self) -> assay.FeatureStore:
        """The store for calls that send none: the file of one may be what they are made for."""
        url, _, project = self.given
        return assay.FeatureStore(url, "none", project)

    def close(self) -> None:
        for made in vars(self).keys() & {"store", "without_token"}:
            vars(self)[made].close()


Run = Callable[[Context, argparse.Namespace], None]


@dataclass(frozen=True)
class Commands:
    """Adds subcommands that all take the global options, before or after their own."""

    subparsers: Subparsers
    options: argparse.ArgumentParser

    def add(self, name: str, run: Run, help_text: str) -> argparse.ArgumentParser:
        parser = self._parser(name, help_text)
        parser.set_defaults(run=run, parser=parser)
        return parser

    def group(self, name: str, help_text: str) -> Commands:
        parser = self._parser(name, help_text)
        return Commands(parser.add_subparsers(metavar="COMMAND", required=True), self.options)

    def _parser(self, name: str, help_text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = self.subparsers.add_parser(
            name, help=help_text, description=help_text, parents=[self.options], allow_abbrev=False
        )
        return made


def add_output(parser: argparse.ArgumentParser, **said: Any) -> None:
    """Add the option that says where to something is written, by its one name.

    ``--out`` is what some commands called it.
    """
    parser.add_argument("-o", "--output", **said)
    parser.add_argument(
        "--out", dest="output", type=said.get("type", str), default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )  # fmt: skip


def add_features(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which features are read, and what they are called."""
    add_selection(parser)
    parser.add_argument(
        "--full-feature-names", action="store_true", help="name columns view__feature"
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which features are read."""
    parser.add_argument(
        "-f",
        "--features",
        nargs="+",
        action="extend",
        metavar="VIEW[@VERSION]:FEATURE",
        help="references of features",
    )
    parser.add_argument("-s", "--feature-service", metavar="NAME", help="or a feature service")


def add_frame(parser: argparse.ArgumentParser, forms: str) -> None:
    """Add the options that say which rows are asked about: a file's, or all entities'."""
    parser.add_argument(
        "frame", metavar="FRAME", nargs="?", help=f"join keys and event_timestamp, {forms}"
    )
    parser.add_argument(
        "--at",
        action="append",
        type=instant_argument,
        metavar="TIME",
        help="instead of FRAME: every entity at this time, UTC; repeat it for more",
    )
    parser.add_argument("--start", type=instant_argument, help="or from here on, UTC")
    parser.add_argument("--end", type=instant_argument, help="up to here, UTC")
    parser.add_argument("--every", metavar="1d", help="at each step of it; else at each change")
    parser.add_argument(
        "--query", metavar="SELECT", help="or the rows of a SELECT over a data source of the server"
    )


def frame_of(args: argparse.Namespace) -> str | AllEntities | EntityQuery:
    """Give what ``add_frame``'s options said.

    :raises Invalid: neither a file nor times, or both.
    """
    times = {name: getattr(args, name) for name in ("at", "start", "end", "every")}
    if sum((args.frame is not None, any(times.values()), args.query is not None)) != 1:
        raise Invalid(
            "give one: FRAME, the times of all entities (--at, or --start and --end), or --query"
        )
    if args.query is not None:
        return EntityQuery.of(args.query)
    return args.frame or AllEntities(**times)


def instant_argument(text: str) -> datetime:
    try:
        return parse_instant(text)
    except Invalid as exc:
        raise argparse.ArgumentTypeError(exc.message) from exc


def entity_argument(text: str) -> tuple[str, Any]:
    """Read ``key=value``: an int if it looks like one, else text; ``key:=json`` is typed."""
    key, assign, value = text.partition("=")
    if not assign or not key.rstrip(":"):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE or KEY:=JSON")
    if not key.endswith(":"):
        return key, int(value) if INTEGER.fullmatch(value) else value
    try:
        return key[:-1], json.loads(value)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{value!r} is not JSON: {exc}") from exc


def view_argument(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``name=view,key=column`` as a name and what it stands for; all but the name may lack."""
    first, *rest = text.split(",")
    (name, _, view), pairs = first.partition("="), [each.partition("=") for each in rest]
    if not name or first.endswith("=") or not all(key and column for key, _, column in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME[=VIEW][,KEY=COLUMN…]")
    named: dict[str, Any] = {"join_keys": {key: column for key, _, column in pairs}}
    return name, named | ({"view": view} if view else {})
