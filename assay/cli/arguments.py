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
from typing import TYPE_CHECKING, Any

from assay.cli.output import Output
from assay.client import FeatureStore
from assay.encoding import parse_instant
from assay.errors import Invalid

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Context:
    """What a subcommand works with."""

    store: FeatureStore
    out: Output


Run = Callable[[Context, argparse.Namespace], None]


@dataclass(frozen=True)
class Commands:
    """Adds subcommands that all take the global options, before or after their own."""

    subparsers: Subparsers
    options: argparse.ArgumentParser

    def add(self, name: str, run: Run, help_text: str) -> argparse.ArgumentParser:
        parser = self._parser(name, help_text)
        parser.set_defaults(run=run)
        return parser

    def group(self, name: str, help_text: str) -> Commands:
        parser = self._parser(name, help_text)
        return Commands(parser.add_subparsers(metavar="COMMAND", required=True), self.options)

    def _parser(self, name: str, help_text: str) -> argparse.ArgumentParser:
        return self.subparsers.add_parser(
            name, help=help_text, description=help_text, parents=[self.options], allow_abbrev=False
        )


def add_features(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--full-feature-names", action="store_true", help="name columns view__feature"
    )


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
