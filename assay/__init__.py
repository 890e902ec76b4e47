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

#: Where the names are, in the order in which they are looked for: what takes least first. What runs
#: on an event loop is apart, as others need not wait for asyncio.
_HOMES = (
    *("errors", "all_entities", "entity_query", "parts", "objects", "offline", "online"),
    *("context", "historical", "historical_job", "dataset", "client"),
)


def __getattr__(name: str) -> Any:
    """Import what a name means when it is asked for first: a command has use for few of them."""
    if name in {*_HOMES, "aio"}:  # as ``assay.errors``, which is not imported either
        return import_module(f"assay.{name}")
    homes = ("aio",) if name.startswith("Async") else _HOMES
    for home in homes if name in __all__ else ():
        module = import_module(f"assay.{home}")
        if hasattr(module, name):
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
