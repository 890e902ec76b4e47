"""The parser of a line: argparse, that says what a mistyped word may have been.
Not for which words there are; see app and each group of subcommands.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Answers a word that is none of those it knows with the nearest."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is None or value in choices:
            return
        names = [str(each) for each in choices]
        if isinstance(action, argparse._SubParsersAction):
            fact = f"{value!r} is no command"
            advice = f"{self.prog} --help lists them"
        else:
            fact, advice = f"invalid choice: {value!r}", f"choose from {', '.join(names)}"
        raise argparse.ArgumentError(
            None if isinstance(action, argparse._SubParsersAction) else action,
            f"{fact}; {_meant(str(value), names)}{advice}",
        )

    def refuse(self, extra: Sequence[str]) -> NoReturn:
        """End for arguments that nothing takes, naming the option that each may have been."""
        known = [name for each in self._actions for name in each.option_strings]
        said = [f"{word}{_near(word, known)}" for word in extra]
        self.error(f"unrecognized arguments: {', '.join(said)}")


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a whole line; what is left over is refused by the subcommand it stands behind."""
    args, extra = parser.parse_known_args(argv)
    if extra:
        args.parser.refuse(extra)
    return args


def _meant(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}? " if near else ""


def _near(word: str, known: Iterable[str]) -> str:
    name = word.partition("=")[0]
    meant = _meant(name, known).strip() if name.startswith("-") else ""
    return f" ({meant})" if meant else ""
