"""The Python client of Assay, a feature store whose heart is governance.
Not the server: nothing here imports Django or needs more than urllib3 and rich.
"""

from __future__ import annotations

from assay.client import FeatureStore
from assay.errors import (
    AssayError,
    Conflict,
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
from assay.online import OnlineResponse
from assay.version import __version__

__all__ = [
    "AssayError",
    "Conflict",
    "FeatureStore",
    "Forbidden",
    "Gone",
    "Invalid",
    "InvalidDefinition",
    "MissingExtra",
    "NotConfigured",
    "NotFound",
    "OnlineResponse",
    "QualityRejected",
    "RetrievalJob",
    "RunFailed",
    "ServerError",
    "ServerUnreachable",
    "StoresDiffer",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "WaitTimedOut",
    "__version__",
]
