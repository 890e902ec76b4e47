"""Serving's own rows; one import place for the rest of the code."""

from __future__ import annotations

from serving.models.datasets import Dataset, DatasetCheck, DatasetPart

__all__ = ["Dataset", "DatasetCheck", "DatasetPart"]
