"""The audit trail over HTTP: who did what, newest first, and all of it as lines to keep.

Not for writing it: ``audit`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import transaction
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import pages
from lib.api import API, described
from lib.parameters import PAGE, one_of, paged, stored_text
from registry import access, audit
from registry.api.answers import AuditEntryAnswer
from registry.api.serializers import audit_output
from registry.choices import Right
from registry.models import AuditEntry, Project
from registry.trail.export import CSV, JSON_LINES, MEDIA_TYPES, lines
from registry.trail.search import FILTERS, asked, search

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.models.audit import Entries

OF_PROJECT = {"project": "only entries of this project"}
FORMAT = {"format": f"{JSON_LINES} (the default) or {CSV}"}


def _of_project(request: Request, name: str) -> tuple[Project, Entries]:
    project = access.access_project(request.user, name, Right.VIEW_AUDITENTRY)
    entries = AuditEntry.objects.filter(project_name=project.name)
    return project, search(entries, request.query_params)


def _of_installation(request: Request) -> Entries:
    access.require_superuser(request.user)
    entries = AuditEntry.objects.all()
    if name := stored_text(request.query_params, "project"):
        entries = entries.filter(project_name=name)
    return search(entries, request.query_params)


def _exported(request: Request, entries: Entries, project: Project | None) -> StreamingHttpResponse:
    """Answer the entries there are now; that somebody took them is one more."""
    kind = one_of(request.query_params, "format", MEDIA_TYPES) or JSON_LINES
    with transaction.atomic():
        entry = audit.record(
            actor=access.acting_user(request),
            verb="audit.exported",
            subject=project,
            label="" if project else "the installation",
            data={"format": kind, "filters": asked(request.query_params)},
            at=timezone.now(),
        )
    taken = entries.filter(pk__lt=entry.pk).named()
    name = f"audit-{project or 'all'}-{entry.pk}.{kind}"
    return StreamingHttpResponse(
        lines(taken, audit_output, kind),
        content_type=MEDIA_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class AuditAPI(API):
    """Who did what in a project, newest first."""

    attempt = "reading the audit trail"
    parameters: ClassVar[dict[str, str]] = {**FILTERS, **PAGE}

    @extend_schema(
        operation_id="list_audit_entries",
        parameters=described(parameters),
        responses=pages(AuditEntryAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        _, entries = _of_project(request, project)
        return paged(request, entries.named(), audit_output)


class AuditExportAPI(API):
    """A project's trail as lines, the oldest entry first; leaves an entry itself."""

    attempt = "exporting the audit trail"
    parameters: ClassVar[dict[str, str]] = {**FORMAT, **FILTERS}

    @extend_schema(
        operation_id="export_audit_entries",
        parameters=described(parameters),
        responses={(200, each): OpenApiTypes.STR for each in MEDIA_TYPES.values()},
    )
    def get(self, request: Request, project: str) -> StreamingHttpResponse:
        found, entries = _of_project(request, project)
        return _exported(request, entries, found)


class InstallationAuditAPI(API):
    """Who did what anywhere, accounts and log-ins too; for superusers."""

    attempt = "reading the audit trail of the installation"
    parameters: ClassVar[dict[str, str]] = {**OF_PROJECT, **FILTERS, **PAGE}

    @extend_schema(
        operation_id="list_all_audit_entries",
        parameters=described(parameters),
        responses=pages(AuditEntryAnswer),
    )
    def get(self, request: Request) -> Response:
        return paged(request, _of_installation(request).named(), audit_output)


class InstallationAuditExportAPI(API):
    """The whole trail as lines, the oldest entry first; for superusers; leaves an entry itself."""

    attempt = "exporting the audit trail of the installation"
    parameters: ClassVar[dict[str, str]] = {**FORMAT, **OF_PROJECT, **FILTERS}

    @extend_schema(
        operation_id="export_all_audit_entries",
        parameters=described(parameters),
        responses={(200, each): OpenApiTypes.STR for each in MEDIA_TYPES.values()},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        return _exported(request, _of_installation(request), None)
