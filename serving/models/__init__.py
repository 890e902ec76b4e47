"""Serving's own rows; one import place for the rest of the code."""

from __future__ import annotations

from serving.models.datasets import Dataset, DatasetCheck, DatasetPart
from serving.models.jobs import HistoricalJob, HistoricalJobPart
from serving.models.looks import StoreLook
from serving.models.usage import LastRead

__all__ = [
    "Dataset",
    "DatasetCheck",
    "DatasetPart",
    "HistoricalJob",
    "HistoricalJobPart",
    "LastRead",
    "StoreLook",
]
