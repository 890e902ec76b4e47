"""The Python client of Assay, a feature store whose heart is governance.
Not the server: nothing here imports Django or needs more than urllib3 and rich.
"""

from __future__ import annotations

from assay.all_entities import AllEntities
from assay.client import FeatureStore
from assay.dataset import Dataset
from assay.errors import (
    AssayError,
    Conflict,
    ConnectionFailed,
    DatasetDiffers,
    DatasetFailed,
    Forbidden,
    Gone,
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
from assay.parts import Aggregation, Feature, Inputs, JoinKey, Python, Schedule, TimeColumn
from assay.version import __version__

__all__ = [
    "Aggregation",
    "AllEntities",
    "AssayError",
    "Conflict",
    "DataSource",
    "Dataset",
    "DatasetDiffers",
    "ConnectionFailed",
    "DatasetFailed",
    "Definition",
    "Entity",
    "Feature",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Forbidden",
    "Gone",
    "Inputs",
    "Invalid",
    "InvalidDefinition",
    "JoinKey",
    "MissingExtra",
    "NotConfigured",
    "NotFound",
    "OfflinePaths",
    "OnDemandFeatureView",
    "Python",
    "OnlineResponse",
    "QualityRejected",
    "RetrievalJob",
    "RunFailed",
    "Schedule",
    "ServerError",
    "ServerUnreachable",
    "StoresDiffer",
    "TimeColumn",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "WaitTimedOut",
    "__version__",
    "definition_of",
]
