"""What a web process or a worker makes sure of before its first request or run.

Not for readiness, which changes while it runs: ``health`` asks again each time.
"""

from __future__ import annotations

import logging

from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError, ResponseError

from lib.connections import get_redis

logger = logging.getLogger(__name__)

#: Under any other policy Redis drops values when memory is short, and a read answers NOT_FOUND.
#: Managed servers that hide their configuration answer nothing, which is let pass.
KEEPING_POLICIES = {"noeviction", "unknown"}


def eviction_policy() -> str:
    """Return the values server's ``maxmemory-policy``, ``unknown`` where it does not say.

    :raises RedisError: it does not answer.
    """
    try:
        return str(get_redis().info("memory").get("maxmemory_policy", "unknown"))
    except ResponseError:
        return "unknown"


def advice(policy: str) -> str:
    return f"maxmemory-policy is {policy}, which silently drops values: set noeviction"


def refuse_evicting_redis() -> None:
    """Stop a start on a Redis that evicts; one that is down is let pass, it may come back.

    :raises ImproperlyConfigured: names the policy and the one to set.
    """
    try:
        policy = eviction_policy()
    except RedisError as error:
        logger.warning("Redis does not answer yet (%s); reads answer 503 until it does", error)
        return
    if policy not in KEEPING_POLICIES:
        raise ImproperlyConfigured(
            f"The Redis at REDIS_URL cannot hold online values: its {advice(policy)}."
        )
