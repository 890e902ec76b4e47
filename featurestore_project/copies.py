"""Seeing to what a machine has copied of an offline store in a bucket, in each of its processes.

Not for which copies go: ``tidy_copies`` of ``materialization.edges.stores``, which looks once an
hour a machine.
"""

from __future__ import annotations

import logging
import os
import threading

from lib.errors import AssayError
from materialization.edges.stores import tidy_copies

logger = logging.getLogger(__name__)
#: How often a process asks whether it is time.
_EVERY_SECONDS = 600
_started: set[int] = set()


def keep_tidy() -> None:
    """See to the copies from now on until this process ends; asked twice, it is done once."""
    if os.getpid() not in _started:
        _started.add(os.getpid())
        threading.Thread(target=_keep, name="copies", daemon=True).start()


def _keep() -> None:
    never = threading.Event()
    while True:
        tidy_once()
        never.wait(_EVERY_SECONDS)


def tidy_once() -> None:
    """See to them; what goes wrong is logged, and tried again later."""
    try:
        tidy_copies()
    except AssayError as error:
        logger.warning("copies of the offline store's files: %s", error.message)
    except Exception:
        logger.exception("copies of the offline store's files cannot be seen to")
