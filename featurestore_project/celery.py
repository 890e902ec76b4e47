"""The Celery application: JSON messages that carry ids, and beat's one entry.

Not for tasks: each app has its own in ``tasks.py`` or ``beat.py``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

from celery import Celery
from celery.signals import (
    beat_init,
    import_modules,
    worker_init,
    worker_process_init,
    worker_ready,
)
from django.core.exceptions import ImproperlyConfigured

from featurestore_project import processes
from lib.shells import serve_others
from lib.without_pandas import hide_pandas

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")

#: In a worker, whose pool is forked from it, the process that hands out the runs.
MAIN_PROCESS = os.getpid()


@import_modules.connect
def begin_without_pandas(**_: object) -> None:
    """Hide it in Celery's own processes; connected before all else that they import by."""
    hide_pandas()


app = Celery("assay")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="beat")


@worker_init.connect
def check_redis(**_: object) -> None:
    """Let no worker start on a Redis that evicts: what it loads would not stay.

    :raises SystemExit: Celery logs what a signal's receiver raises and goes on, but not this.
    """
    # Imported here: every process loads this module before Django is set up.
    from featurestore_project import private, startup
    from materialization.compute import scratch

    serve_others()
    try:
        startup.refuse_roots_in_our_state()
        startup.refuse_packages_in_our_state()
        private.close_our_files()
        startup.refuse_evicting_redis()
        startup.refuse_lost_store()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(processes.REFUSED) from error
    scratch.remove_left_behind()


@worker_process_init.connect
def see_to_copies(**_: object) -> None:
    # Not in the worker's main process: what is forked would have the storage client's locks.
    from featurestore_project.copies import keep_tidy

    keep_tidy()


@worker_process_init.connect
def end_with_the_worker(**_: object) -> None:
    """Let no run go on without its worker: the sweep gives it to another when its lease ends."""
    if os.getpid() != MAIN_PROCESS:  # the solo pool has no process but the worker's own
        processes.end_with_parent(MAIN_PROCESS, signal.SIGKILL)


@worker_ready.connect
def say_that_the_worker_lives(sender: Any, **_: object) -> None:
    """Note from now on that it does: readyz says of which kind of process none has for a while."""
    from materialization.clocks import keep_noting
    from materialization.requests.watch import watch_processes

    def queues() -> list[str]:  # others from when an operator tells a running worker so
        return list(sender.app.amqp.queues.consume_from)

    keep_noting(str(sender.hostname), then=watch_processes, queues=queues)


@beat_init.connect
def say_that_beat_lives(**_: object) -> None:
    from materialization.clocks import keep_noting
    from materialization.requests.watch import watch_processes

    serve_others()
    keep_noting(f"beat@{socket.gethostname()}", then=watch_processes)
