"""The client for programs on an event loop: the same calls, awaited.
Not for the calls themselves; each is defined once, in the groups of ``assay``.
"""

from __future__ import annotations

from assay.aio.client import AsyncFeatureStore
from assay.aio.made import AsyncDataset, AsyncHistoricalJob

__all__ = ["AsyncDataset", "AsyncFeatureStore", "AsyncHistoricalJob"]
