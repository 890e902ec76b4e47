"""Subcommand that writes what has a shell complete the others: their names, options and choices.
Not for names that the server knows: a key pressed would be a call, with a token.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from assay.cli.arguments import Commands, Context

if TYPE_CHECKING:
    from assay.cli.arguments import Subparsers

HOW = """\
bash: assay completion bash > ~/.local/share/bash-completion/completions/assay
zsh:  assay completion zsh > _assay, in a folder of $fpath; then start zsh anew
fish: assay completion fish > ~/.config/fish/completions/assay.fish"""


class Option(NamedTuple):
    names: list[str]
    help: str
    choices: list[str]
    takes_value: bool


class Place(NamedTuple):
    """Where a line stands: the words up to there, and what may come next."""

    words: str
    #: ``(name, help)`` of subcommands, or of what the first argument may be.
    next: list[tuple[str, str]]
    options: list[Option]


Places = list[Place]


def add(commands: Commands) -> None:
    run = partial(run_completion, commands=commands)
    parser = commands.add(
        "completion", run, "Write what completes commands and options in a shell."
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="for which")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = HOW


def run_completion(context: Context, args: argparse.Namespace, *, commands: Commands) -> None:
    script = SCRIPTS[args.shell](list(places(commands)))
    if context.out.as_json:
        context.out.json({"shell": args.shell, "script": script})
    else:
        context.out.text(script)


def places(commands: Commands) -> Iterator[Place]:
    """Walk all that the command knows, from its first word on."""
    yield Place("assay", _names(commands.subparsers), _options(commands.options))
    yield from _below("assay", commands.subparsers)


def _below(words: str, group: Subparsers) -> Iterator[Place]:
    for name, parser in group.choices.items():
        inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        first = next((each for each in parser._actions if not each.option_strings), None)
        following = _names(inner[0]) if inner else [(one, "") for one in _choices(first)]
        yield Place(f"{words} {name}", following, _options(parser))
        for each in inner:
            yield from _below(f"{words} {name}", each)


def _names(group: Subparsers) -> list[tuple[str, str]]:
    return [(each.dest, _help(each)) for each in group._choices_actions]


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _choices(action: argparse.Action | None) -> list[str]:
    return [str(each) for each in (action.choices or ())] if action else []


def _options(parser: argparse.ArgumentParser) -> list[Option]:
    return [
        Option(list(each.option_strings), _help(each), _choices(each), each.nargs != 0)
        for each in parser._actions
        if each.option_strings and each.help != argparse.SUPPRESS
    ]


def _deeper(found: Places) -> str:
    """Write the patterns of words that lead from a place to another."""
    return "|".join(f'"{place.words}"' for place in found if " " in place.words)


def _cases(found: Places, variable: str, words: Callable[[Place], list[str]]) -> str:
    """Write what a place has to offer into a shell's list, a line a place."""
    listed = ((place, words(place)) for place in found)
    return "\n".join(
        f'      "{place.words}") {variable}=({" ".join(map(quote, said))});;'
        for place, said in listed
        if said
    )


def _valued(found: Places, does: Callable[[list[str]], str]) -> str:
    """Write what comes after an option that takes a value: one of its choices, or a file."""
    return "\n".join(
        f'    "{place.words} {name}") {does(option.choices)}; return;;'
        for place in found
        for option in place.options
        if option.takes_value
        for name in option.names
    )


def bash(found: Places) -> str:
    def chosen(choices: list[str]) -> str:
        return f'COMPREPLY=($(compgen -W {quote(" ".join(choices))} -- "$cur"))'

    return f"""\
# Completes `assay` in bash. Where it knows no word, files are offered.
_assay() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} at=assay i
  local -a words=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at ${{COMP_WORDS[i]}}" in
      {_deeper(found)}) at="$at ${{COMP_WORDS[i]}}";;
    esac
  done
  case "$at ${{COMP_WORDS[COMP_CWORD-1]}}" in
{_valued(found, chosen)}
  esac
  if [[ $cur == -* ]]; then
    case "$at" in
{_cases(found, "words", lambda place: [n for each in place.options for n in each.names])}
    esac
  else
    case "$at" in
{_cases(found, "words", lambda place: [name for name, _ in place.next])}
    esac
  fi
  COMPREPLY=($(compgen -W "${{words[*]}}" -- "$cur"))
}}
complete -o default -F _assay assay
"""


def zsh(found: Places) -> str:
    def chosen(choices: list[str]) -> str:
        return f"compadd -- {' '.join(map(quote, choices))}" if choices else "_files"

    def options(place: Place) -> list[str]:
        return [_described(name, each.help) for each in place.options for name in each.names]

    return f"""\
#compdef assay
# Completes `assay` in zsh. Where it knows no word, files are offered.
_assay() {{
  local at=assay i
  local -a said
  for ((i = 2; i < CURRENT; i++)); do
    case "$at ${{words[i]}}" in
      {_deeper(found)}) at="$at ${{words[i]}}";;
    esac
  done
  case "$at ${{words[CURRENT-1]}}" in
{_valued(found, chosen)}
  esac
  if [[ $PREFIX == -* ]]; then
    case "$at" in
{_cases(found, "said", options)}
    esac
  else
    case "$at" in
{_cases(found, "said", lambda place: [_described(*each) for each in place.next])}
    esac
  fi
  if (( $#said )); then _describe assay said; else _files; fi
}}
if [[ $funcstack[1] == _assay ]]; then _assay "$@"; else compdef _assay assay; fi
"""


def _described(name: str, said: str) -> str:
    return name.replace(":", r"\:") + (f":{said}" if said else "")


def fish(found: Places) -> str:
    patterns = " ".join(_fish(place.words) for place in found if " " in place.words)
    lines = [line for place in found for line in _fish_lines(place)]
    return f"""\
# Completes `assay` in fish. Where it knows no word, files are offered.
function __assay_at
  set -l at assay
  for word in (commandline -opc)[2..]
    switch "$at $word"
      case {patterns}
        set at "$at $word"
    end
  end
  test "$at" = "$argv[1]"
end
{chr(10).join(lines)}
"""


def _fish_lines(place: Place) -> Iterator[str]:
    here = f"complete -c assay -n \"__assay_at '{place.words}'\""
    for name, said in place.next:
        yield f"{here} -f -a {_fish(name)} -d {_fish(said)}"
    for option in place.options:
        names = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
        )
        value = " -r" * option.takes_value
        value += f" -f -a {_fish(' '.join(option.choices))}" if option.choices else ""
        yield f"{here} {names}{value} -d {_fish(option.help)}"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: dict[str, Callable[[Places], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
