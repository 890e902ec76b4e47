"""What a web process or a worker makes sure of before its first request or run.

Not for readiness, which changes while it runs: ``health`` asks again each time.
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from lib.connections import (
    RedisFull,
    RedisReadOnly,
    RedisRefused,
    RedisUnavailable,
    get_redis,
    translated,
)
from materialization.confined.main import readable
from materialization.edges.stores import offline_store, require_safe_store
from materialization.stores.offline_bucket import OfflineStoreUnsafe
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.online import KEEPING_POLICIES
from registry.file_roots import own_state_at

logger = logging.getLogger(__name__)

#: New objects after which the youngest are looked at; how often that, until the older are.
COLLECT_AFTER = (10_000, 20, 20)
#: No key there is: removing it is a write that changes nothing.
NOTHING = b"a:-"


def eviction_policy() -> str:
    """Return the values server's ``maxmemory-policy``, ``unknown`` where it does not say.

    :raises RedisUnavailable: it does not answer.
    """
    try:
        with translated():
            return str(get_redis().info("memory").get("maxmemory_policy", "unknown"))
    except RedisRefused:
        return "unknown"


def refuses_values() -> str:
    """Return why the values server takes no new values; empty when it does, or does not say.

    :raises RedisUnavailable: it does not answer.
    """
    try:
        with translated():
            memory = get_redis().info("memory")
            get_redis().unlink(NOTHING)
    except RedisReadOnly as error:
        return error.message
    except RedisRefused:
        return ""
    limit = int(memory.get("maxmemory", 0))
    full = limit and int(memory["used_memory"]) > limit
    return RedisFull(f"maxmemory is {limit} bytes").message if full else ""


def advice(policy: str) -> str:
    return f"maxmemory-policy is {policy}, which silently drops values: set noeviction"


def refuse_evicting_redis() -> None:
    """Stop a start on a Redis that evicts; one that is down is let pass, it may come back.

    :raises ImproperlyConfigured: names the policy and the one to set.
    """
    try:
        policy = eviction_policy()
    except RedisUnavailable as error:
        logger.warning("%s", error)
        return
    if policy not in KEEPING_POLICIES:
        raise ImproperlyConfigured(
            f"The Redis at REDIS_URL cannot hold online values: its {advice(policy)}."
        )


def refuse_roots_in_our_state() -> None:
    """Stop a start where sources could be read from what we keep, by whatever links and mounts.

    :raises ImproperlyConfigured: names the folder of FILE_ROOTS and what it meets.
    """
    for root in settings.FILE_ROOTS:
        if own := own_state_at(root):
            raise ImproperlyConfigured(
                f"FILE_ROOTS has {root}, which meets {own}, where Assay keeps its own state: a"
                " source could read it. Name folders that hold source data only."
            )


def refuse_packages_in_our_state() -> None:
    """Stop a start where functions of operators' packages could read what we keep.

    :raises ImproperlyConfigured: names the folder and what it meets.
    """
    if not settings.PYTHON_DISTRIBUTIONS:
        return
    for folder in readable(settings.PYTHON_FOLDER):
        if Path(folder).exists() and (own := own_state_at(str(Path(folder).resolve()))):
            raise ImproperlyConfigured(
                f"Python transforms may read {folder}, which meets {own}, where Assay keeps its own"
                " state. Keep that elsewhere (STATE_DIR), or name another PYTHON_FOLDER."
            )


def refuse_lost_store() -> None:
    """Stop a start with an offline store where what is written would be lost, or not be found.

    A bucket that does not answer is let pass.

    :raises ImproperlyConfigured: names the path and what is wrong with it.
    """
    try:
        offline_store()
        require_safe_store()
    except OfflineStoreUnsafe as error:
        raise ImproperlyConfigured(error.message) from error
    except OfflineStoreUnavailable as error:
        if not settings.OFFLINE_BUCKET:
            raise ImproperlyConfigured(error.message) from error
        # It may come back, and is asked again before anything is written.
        logger.warning("%s", error.message)


def settle_memory() -> None:
    """Let the collector leave alone what is loaded now, and look at the rest less often.

    It would walk through all of that again and again, while whoever asks waits. What a request
    makes goes when its last reference does; cycles among it are few.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
