"""The Python client of Assay, a feature store whose heart is governance.
Not the server: nothing here imports Django or needs more than urllib3 and rich.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from assay.version import __version__

if TYPE_CHECKING:
    from assay.aio import AsyncDataset, AsyncFeatureStore, AsyncHistoricalJob
    from assay.all_entities import AllEntities
    from assay.client import FeatureStore
    from assay.context import ContextResponse, FeatureContext
    from assay.dataset import Dataset
    from assay.entity_query import EntityQuery
    from assay.errors import (
        AssayError,
        Conflict,
        ConnectionFailed,
        DatasetDiffers,
        DatasetFailed,
        Forbidden,
        Gone,
        HistoricalJobFailed,
        Invalid,
        InvalidDefinition,
        MissingExtra,
        NotConfigured,
        NotFound,
        QualityRejected,
        RunFailed,
        ServerError,
        ServerUnreachable,
        StoresDiffer,
        TooLarge,
        TooManyRequests,
        Unauthenticated,
        Unavailable,
        WaitTimedOut,
    )
    from assay.historical import RetrievalJob
    from assay.historical_job import HistoricalJob
    from assay.objects import (
        DataSource,
        Definition,
        Entity,
        FeatureService,
        FeatureView,
        OnDemandFeatureView,
        definition_of,
    )
    from assay.offline import OfflinePaths
    from assay.online import OnlineResponse
    from assay.parts import (
        Aggregation,
        Feature,
        Inputs,
        JoinKey,
        Python,
        Schedule,
        SourceJoin,
        TimeColumn,
        ViewRead,
        Write,
    )

__all__ = [
    "Aggregation",
    "AllEntities",
    "AssayError",
    "AsyncDataset",
    "AsyncFeatureStore",
    "AsyncHistoricalJob",
    "Conflict",
    "ConnectionFailed",
    "ContextResponse",
    "DataSource",
    "Dataset",
    "DatasetDiffers",
    "DatasetFailed",
    "Definition",
    "Entity",
    "EntityQuery",
    "Feature",
    "FeatureContext",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Forbidden",
    "Gone",
    "HistoricalJob",
    "HistoricalJobFailed",
    "Inputs",
    "Invalid",
    "InvalidDefinition",
    "JoinKey",
    "MissingExtra",
    "NotConfigured",
    "NotFound",
    "OfflinePaths",
    "OnDemandFeatureView",
    "OnlineResponse",
    "Python",
    "QualityRejected",
    "RetrievalJob",
    "RunFailed",
    "Schedule",
    "SourceJoin",
    "ServerError",
    "ServerUnreachable",
    "StoresDiffer",
    "TimeColumn",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "ViewRead",
    "WaitTimedOut",
    "Write",
    "__version__",
    "definition_of",
]

#: Module → what is imported from it when it is asked for first: a command has use for few of them.
_HOMES = {
    "assay.aio": (
        "AsyncDataset",
        "AsyncFeatureStore",
        "AsyncHistoricalJob",
    ),
    "assay.all_entities": ("AllEntities",),
    "assay.client": ("FeatureStore",),
    "assay.context": (
        "ContextResponse",
        "FeatureContext",
    ),
    "assay.dataset": ("Dataset",),
    "assay.entity_query": ("EntityQuery",),
    "assay.errors": (
        "AssayError",
        "Conflict",
        "ConnectionFailed",
        "DatasetDiffers",
        "DatasetFailed",
        "Forbidden",
        "Gone",
        "HistoricalJobFailed",
        "Invalid",
        "InvalidDefinition",
        "MissingExtra",
        "NotConfigured",
        "NotFound",
        "QualityRejected",
        "RunFailed",
        "ServerError",
        "ServerUnreachable",
        "StoresDiffer",
        "TooLarge",
        "TooManyRequests",
        "Unauthenticated",
        "Unavailable",
        "WaitTimedOut",
    ),
    "assay.historical": ("RetrievalJob",),
    "assay.historical_job": ("HistoricalJob",),
    "assay.objects": (
        "DataSource",
        "Definition",
        "Entity",
        "FeatureService",
        "FeatureView",
        "OnDemandFeatureView",
        "definition_of",
    ),
    "assay.offline": ("OfflinePaths",),
    "assay.online": ("OnlineResponse",),
    "assay.parts": (
        "Aggregation",
        "Feature",
        "Inputs",
        "JoinKey",
        "Python",
        "Schedule",
        "SourceJoin",
        "TimeColumn",
        "ViewRead",
        "Write",
    ),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
