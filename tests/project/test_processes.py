"""Processes that end with the one that started them, also where that one was not ours to start."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests import servers

#: Starts a process that ties itself to ``{parent}``, says that it did, and waits.
PARENT = """
import os, signal, time
from featurestore_project import processes
parent = os.getpid()
if os.fork() == 0:
    processes.end_with_parent({parent}, signal.SIGKILL)
    print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def start():
    started = []

    def start(parent: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PARENT.format(parent=parent)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=servers.ROOT)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_ends_with_its_parent(start):
    parent = start("parent")
    child = psutil.Process(int(parent.stdout.readline()))

    parent.kill()

    child.wait(60)
    assert not child.is_running()


def test_one_whose_parent_died_before_it_could_say_so_ends_at_once(start):
    parent = start(str(os.getpid()))  # as if its parent had been this process

    while not psutil.Process(parent.pid).children():
        time.sleep(0.01)
    parent.kill()

    assert parent.stdout.read() == ""
