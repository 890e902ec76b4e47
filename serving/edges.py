"""What reads may use on this server, from its settings.

Not for what the limits mean: ``limits`` says that.
"""

from __future__ import annotations

from django.conf import settings

from serving.limits import ReadLimits


def online_limits() -> ReadLimits:
    return ReadLimits(
        prefix="ONLINE",
        rows=settings.ONLINE_MAX_ENTITY_ROWS,
        columns=settings.ONLINE_MAX_COLUMNS,
        features=settings.ONLINE_MAX_FEATURES,
        values=settings.ONLINE_MAX_VALUES,
    )


def historical_limits() -> ReadLimits:
    return ReadLimits(
        prefix="HISTORICAL",
        rows=settings.HISTORICAL_MAX_ROWS,
        columns=settings.HISTORICAL_MAX_COLUMNS,
        features=settings.HISTORICAL_MAX_FEATURES,
        values=settings.HISTORICAL_MAX_VALUES,
        decoded_bytes=settings.HISTORICAL_MAX_DECODED_BYTES,
    )
