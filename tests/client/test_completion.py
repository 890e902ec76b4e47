"""Mistyped words get the nearest that there is, and shells complete what the command knows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import SUPPRESS

import pytest

from assay.cli import main
from assay.cli.app import GROUPS, groups_of, make_parser
from assay.cli.completion import SCRIPTS
from tests.servers import ROOT


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("aply", "'aply' is no command; did you mean apply? assay --help lists them"),
        ("zzz", "'zzz' is no command; assay --help lists them"),
        ("runs lst", "'lst' is no command; did you mean list? assay runs --help lists them"),
        ("runs list --jsn", "assay runs list: error: unrecognized arguments: --jsn (did you mean"),
        ("runs list --sttus=failed more", "--sttus=failed (did you mean --status?), more"),
        ("plan --format jsn .", "invalid choice: 'jsn'; did you mean json? choose from text, json"),
    ],
)
def test_a_mistyped_word_is_told_with_the_nearest(capsys, line, said):
    with pytest.raises(SystemExit) as ended:
        main(line.split())

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def script(capsys, tmp_path):
    """Give the file that ``assay completion SHELL`` writes."""

    def written(shell):
        assert main(["completion", shell]) == 0
        path = tmp_path / shell
        path.write_text(capsys.readouterr().out)
        return path

    return written


def shell(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["appl"], ["apply"]),
        (["runs", ""], ["list", "describe", "watch", "cancel", "pause", "resume"]),
        (["--json", "runs", "wa"], ["watch"]),
        (["runs", "list", "--st"], ["--status"]),
        (["runs", "list", "--js"], ["--json"]),
        (["plan", "--format", ""], ["text", "json", "github"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["apply", "fold"], []),
        (["runs", "list", "--status", "fa"], []),
    ],
)
def test_bash_is_offered_what_may_come_next(script, line, offered):
    words = " ".join(f"'{word}'" for word in ["assay", *line])
    code = f". {script('bash')}; COMP_WORDS=({words}); COMP_CWORD={len(line)}; _assay"

    found = shell("bash", "--norc", "-c", code + '; echo "${COMPREPLY[@]}"')

    assert found[: len(offered)] == offered and bool(found) == bool(offered)


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish_is_offered_what_may_come_next(script):
    path = script("fish")
    for line, offered in (("appl", "apply"), ("runs wa", "watch"), ("plan --format gi", "github")):
        found = shell("fish", "--no-config", "-c", f"source {path}; complete -C 'assay {line}'")
        assert found[0] == offered


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh here")
def test_zsh_takes_its_script(script):
    shell("zsh", "-f", "-n", str(script("zsh")))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_and_option_is_in_each_script(script, name):
    text = script(name).read_text()
    groups = [make_parser()]
    while groups:
        for action in groups.pop()._actions:
            for option in action.option_strings if action.help != SUPPRESS else ():
                bare = option.lstrip("-")
                assert option in text or f" -l {bare} " in text or f" -s {bare} " in text, option
            for word, parser in (action.choices or {}).items() if action.nargs == "A..." else ():
                assert word in text, word
                groups.append(parser)


def test_a_script_is_json_for_programs(capsys):
    assert main(["--json", "completion", "fish"]) == 0

    assert json.loads(capsys.readouterr().out)["shell"] == "fish"


@pytest.mark.parametrize("group", GROUPS)
def test_each_module_has_the_commands_that_it_is_imported_for(group):
    inner = [each for each in make_parser([group])._actions if each.dest == "==SUPPRESS=="]
    [commands] = [each.choices for each in inner if each.nargs == "A..."]

    assert tuple(commands) == GROUPS[group]


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("runs list --status failed", ("runs",)),
        ("--json --project usage apply .", ("definitions",)),
        ("--version", ()),
        ("--url", tuple(GROUPS)),
        ("", tuple(GROUPS)),
        ("aply", tuple(GROUPS)),
        ("completion bash", tuple(GROUPS)),
        ("--help", tuple(GROUPS)),
    ],
)
def test_a_line_needs_the_module_of_its_command_alone(line, needs):
    assert tuple(groups_of(line.split())) == needs


def test_a_command_begins_without_what_it_has_no_use_for():
    code = """
import sys
from assay.cli import main
assert main(["profile", "v@1.0.0", "--url", "ftp://x"]) == 2
print({"urllib3", "assay.cli.runs", "pyarrow", "pandas"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )

    assert (done.stdout, "url" in done.stderr) == ("set()\n", True)
