"""A process that notes its clock by a thread, and is forked meanwhile: see ``clocks``."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.environment import without_ours
from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: As a worker does it: the pool's process is forked while the thread is in a transaction. The
#: thread goes on when the fork is made, or, as a fork waits for it, after a second.
FORKED_MEANWHILE = """
import os, threading, django
from datetime import timedelta
from django.conf import settings
django.setup()
settings.DATABASES["default"]["OPTIONS"]["timeout"] = 1
from django.db import connection, transaction
from django.utils import timezone
from materialization import clocks
from materialization.models import ProcessClock

with connection.schema_editor() as schema:
    schema.create_model(ProcessClock)
connection.close()
inside, forked = threading.Event(), threading.Event()
os.register_at_fork(after_in_parent=forked.set)

def write(**_):
    with transaction.atomic():
        ProcessClock.objects.create(process="a", measured_at=timezone.now(), ahead=timedelta())
        inside.set()
        forked.wait(1)

thread = threading.Thread(target=clocks.note_unforked, args=("worker@a", write))
thread.start()
assert inside.wait(30)
if child := os.fork():
    thread.join()
    assert ProcessClock.objects.count() == 2, ProcessClock.objects.count()
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    ProcessClock.objects.all().update(ahead=timedelta(1))
except Exception as error:
    print(error, flush=True)
    os._exit(1)
os._exit(0)
"""


@pytest.mark.database("sqlite")
def test_a_process_forked_meanwhile_is_not_locked_out(tmp_path: Path) -> None:
    env = without_ours() | {
        "DJANGO_SETTINGS_MODULE": "featurestore_project.settings",
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "EMBEDDED": "true",
    }
    command = [sys.executable, "-c", FORKED_MEANWHILE]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
