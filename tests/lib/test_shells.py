"""A process is the shell's unless it says that it serves others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import servers

ASK = "import os; from lib.shells import shell_actor; print(repr(shell_actor())); os._exit(0)"
SIGNAL = "from featurestore_project import celery; celery.{0}.send(sender=None); "
#: What each kind of process runs where it starts.
SERVING = {
    "web": "import featurestore_project.wsgi; ",
    "worker": SIGNAL.format("worker_init"),
    "beat": SIGNAL.format("beat_init"),
}


def run(code: str) -> str:
    """Return who works at the shell in a process that runs this, as Python writes it."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", code + ASK],
        cwd=servers.ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "featurestore_project.settings"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_a_script_is_a_shell_and_names_who_runs_it():
    assert "@" in run("import django; django.setup(); ")


@pytest.mark.parametrize("kind", SERVING)
@pytest.mark.usefixtures("redis_process")
def test_a_process_that_serves_others_is_none(kind):
    assert run("import django; django.setup(); " + SERVING[kind]) == "''"
