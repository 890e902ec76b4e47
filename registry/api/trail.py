"""The audit trail over HTTP: who did what, newest first.

Not for writing it: ``audit`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.parameters import PAGE, paged
from registry import access
from registry.api.serializers import audit_output
from registry.choices import Right
from registry.models import AuditEntry

if TYPE_CHECKING:
    from rest_framework.request import Request


class AuditAPI(API):
    """Who did what, newest first."""

    attempt = "reading the audit trail"
    FILTERS: ClassVar[dict[str, str]] = {
        "verb": "verb",
        "subject": "subject_label__startswith",
        "actor": "actor_name",
    }
    parameters: ClassVar[dict[str, str]] = {
        "verb": "as in feature_view_version.approved",
        "subject": "how the subject's name begins",
        "actor": "user name",
        **PAGE,
    }

    @extend_schema(
        operation_id="list_audit_entries",
        parameters=described(parameters),
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, Right.VIEW_AUDITENTRY)
        entries = AuditEntry.objects.filter(project_name=found.name)
        for parameter, column in self.FILTERS.items():
            if value := request.query_params.get(parameter):
                entries = entries.filter(**{column: value.replace("\x00", "")})
        return paged(request, entries, audit_output)
