"""What reads may use on this server, from its settings.

Not for what the limits mean: ``limits`` says that.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from materialization.compute.scratch import own_folder
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


def most_datasets() -> int:
    """Return how many datasets one project keeps."""
    return settings.DATASETS_MAX_KEPT


class AnswerLimits(NamedTuple):
    """Where answers are written until they are sent, and how large one may be."""

    folder: str
    most_mb: int


def answer_limits() -> AnswerLimits:
    return AnswerLimits(own_folder(), settings.HISTORICAL_MAX_ANSWER_MB)
