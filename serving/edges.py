"""What reads may use on this server, from its settings.

Not for what the limits mean: ``limits`` says that.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from materialization.compute.scratch import own_folder
from materialization.stores.push_command import MostWaiting
from serving.ingest.limits import PushLimits
from serving.limits import ReadLimits
from serving.streams.reading import StreamLimits


def online_limits() -> ReadLimits:
    return ReadLimits(
        prefix="ONLINE",
        rows=settings.ONLINE_MAX_ENTITY_ROWS,
        columns=settings.ONLINE_MAX_COLUMNS,
        features=settings.ONLINE_MAX_FEATURES,
        values=settings.ONLINE_MAX_VALUES,
    )


def context_limits() -> ReadLimits:
    """Return what a read for prompts may have: words take longer than values, and more room."""
    limits = online_limits()
    if limits.values <= settings.CONTEXT_MAX_VALUES:
        return limits
    return limits._replace(values=settings.CONTEXT_MAX_VALUES, values_setting="CONTEXT_MAX_VALUES")


def push_limits() -> PushLimits:
    return PushLimits(settings.PUSH_MAX_ROWS, _most_waiting())


def stream_limits() -> StreamLimits:
    return StreamLimits(_most_waiting(), settings.STREAM_MAX_LETTERS)


def _most_waiting() -> MostWaiting:
    return MostWaiting(
        settings.PUSH_MAX_WAITING, settings.PUSH_MAX_WAITING_MB << 20, settings.PUSH_MAX_LATER
    )


def historical_limits() -> ReadLimits:
    return ReadLimits(
        prefix="HISTORICAL",
        rows=settings.HISTORICAL_MAX_ROWS,
        columns=settings.HISTORICAL_MAX_COLUMNS,
        features=settings.HISTORICAL_MAX_FEATURES,
        values=settings.HISTORICAL_MAX_VALUES,
        decoded_bytes=settings.HISTORICAL_MAX_DECODED_BYTES,
        otherwise=f"Ask for it as a job (POST historical-jobs, as_job=True, --as-job), which takes"
        f" {settings.HISTORICAL_JOB_MAX_ROWS:,} rows (HISTORICAL_JOB_MAX_ROWS), or in several.",
    )


def dataset_frame_limits() -> ReadLimits:
    """Return what a dataset's frame may have: there is no other way to have more of it."""
    return historical_limits()._replace(otherwise="")


class DatasetLimits(NamedTuple):
    """What one project keeps: how many datasets, and megabytes of their rows."""

    number: int
    size_mb: int


def dataset_limits() -> DatasetLimits:
    return DatasetLimits(settings.DATASETS_MAX_KEPT, settings.DATASETS_MAX_MB)


class AnswerLimits(NamedTuple):
    """Where answers are written until they are sent, and how large one may be."""

    folder: str
    most_mb: int


def answer_limits() -> AnswerLimits:
    return AnswerLimits(own_folder(), settings.HISTORICAL_MAX_ANSWER_MB)
