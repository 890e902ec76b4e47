"""What is registered and who said so; one import place for the rest of the code."""

from __future__ import annotations

from registry.models.access import (
    Account,
    ApiToken,
    Identity,
    Membership,
    PasswordChange,
    ServiceAccount,
)
from registry.models.audit import AuditEntry, AuditHead, AuditSeal
from registry.models.catalog import DataSource, Entity
from registry.models.comment import ReviewComment, ReviewPassage
from registry.models.connection_try import ConnectionTry
from registry.models.evidence import Evidence
from registry.models.feature_service import (
    FeatureService,
    FeatureServiceMember,
    FeatureServiceVersion,
)
from registry.models.feature_view import (
    FeatureTable,
    FeatureView,
    FeatureViewGroupObjectPermission,
    FeatureViewUserObjectPermission,
)
from registry.models.feature_view_version import (
    Feature,
    FeatureViewVersion,
    VersionEditor,
    VersionNumber,
)
from registry.models.file_root import FileRoot
from registry.models.fitting import Fitting
from registry.models.glass import BrokenGlass
from registry.models.grant import ReadGrant
from registry.models.mask_key import MaskKey
from registry.models.names import Pseudonym, UsedName
from registry.models.news import NewsChoice, NewsCursor, Notification
from registry.models.origin import Origin
from registry.models.project import (
    PolicyChange,
    Project,
    ProjectGroupObjectPermission,
    ProjectUserObjectPermission,
)
from registry.models.proposal import Proposal
from registry.models.question import Answer, Question
from registry.models.review import AskedReviewer, Review

__all__ = [
    "Answer",
    "Question",
    "Account",
    "ApiToken",
    "AskedReviewer",
    "AuditEntry",
    "AuditHead",
    "AuditSeal",
    "BrokenGlass",
    "DataSource",
    "Entity",
    "Evidence",
    "Feature",
    "FeatureService",
    "FeatureServiceMember",
    "FeatureServiceVersion",
    "FeatureTable",
    "FeatureView",
    "FeatureViewGroupObjectPermission",
    "FeatureViewUserObjectPermission",
    "FeatureViewVersion",
    "ConnectionTry",
    "FileRoot",
    "Fitting",
    "Identity",
    "MaskKey",
    "Membership",
    "PasswordChange",
    "PolicyChange",
    "Origin",
    "NewsChoice",
    "NewsCursor",
    "Notification",
    "Project",
    "ProjectGroupObjectPermission",
    "ProjectUserObjectPermission",
    "Pseudonym",
    "ReadGrant",
    "Proposal",
    "Review",
    "ReviewComment",
    "ReviewPassage",
    "ServiceAccount",
    "UsedName",
    "VersionEditor",
    "VersionNumber",
]
