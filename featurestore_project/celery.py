"""The Celery application: JSON messages that carry ids, and beat's one entry.

Not for tasks: each app has its own in ``tasks.py`` or ``beat.py``.
"""

from __future__ import annotations

import os
import signal

from celery import Celery
from celery.signals import worker_init, worker_process_init

from featurestore_project import processes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")

#: In a worker, whose pool is forked from it, the process that hands out the runs.
MAIN_PROCESS = os.getpid()

app = Celery("assay")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="beat")


@worker_init.connect
def check_redis(**_: object) -> None:
    # Imported here: every process loads this module before Django is set up.
    from featurestore_project import startup

    startup.refuse_evicting_redis()


@worker_process_init.connect
def end_with_the_worker(**_: object) -> None:
    """Let no run go on without its worker: the sweep gives it to another when its lease ends."""
    if os.getpid() != MAIN_PROCESS:  # the solo pool has no process but the worker's own
        processes.end_with_parent(MAIN_PROCESS, signal.SIGKILL)
