"""Certificates over HTTP: ask for a comparison of the stores, and see what comparisons found."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import BadBody, small_object
from lib.body_schemas import WHOLE, YES_OR_NO, object_of
from lib.clock import database_now
from lib.errors import NotFound
from lib.parameters import PAGE, one_of, paged
from materialization.api.filters import SAYS, of_view
from materialization.api.serializers import CertificateAnswer, certificate_output
from materialization.choices import CertificateKind, CertificateStatus
from materialization.disclosure import Disclosure
from materialization.models import Certificate
from materialization.requests.certificates import request_certificate
from registry import access
from registry.scopes import told_to

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class CertificateNotFound(NotFound):
    code = "certificate_not_found"


class CompareAPI(API):
    """``{"sample"?: N, "full"?, "repair"?, "source"?: true}``: compare one version's stores."""

    attempt = "comparing the stores of {name}@{version}"

    @extend_schema(
        operation_id="compare_version",
        request=object_of(sample=WHOLE, full=YES_OR_NO, repair=YES_OR_NO, source=YES_OR_NO),
        responses=answers(CertificateAnswer, 202),
    )
    def post(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        body = small_object(request, ("sample", "full", "repair", "source"))
        kind = CertificateKind.SOURCE if _flag(body, "source") else CertificateKind.ONLINE
        asked = request_certificate(
            version=found,
            sample=_sample(body),
            repair=_flag(body, "repair"),
            kind=kind,
            at=database_now(),
            actor=access.acting_user(request),
        )
        return Response(
            certificate_output(asked, Disclosure(request.user, at=timezone.now())), status=202
        )


class CertificatesAPI(API):
    """The certificates of a project, newest first."""

    attempt = "listing certificates"
    parameters: ClassVar[dict[str, str]] = {
        "feature_view": SAYS,
        "status": ", ".join(CertificateStatus),
        "kind": ", ".join(CertificateKind),
        **PAGE,
    }

    @extend_schema(
        operation_id="list_certificates",
        parameters=described(parameters),
        responses=pages(CertificateAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = of_view(_certificates(request, project), request, project)
        for column, words in (("status", CertificateStatus), ("kind", CertificateKind)):
            if asked := one_of(request.query_params, column, words):
                found = found.filter(**{column: asked})
        return paged(
            request,
            found,
            partial(certificate_output, shown=Disclosure(request.user, at=timezone.now())),
        )


class CertificateAPI(API):
    """One certificate: what a comparison found."""

    attempt = "looking at certificate {certificate_id}"

    @extend_schema(operation_id="get_certificate", responses=answers(CertificateAnswer))
    def get(self, request: Request, project: str, certificate_id: int) -> Response:
        found = _certificates(request, project).filter(pk=certificate_id).first()
        if found is None:
            raise CertificateNotFound(f"project {project} has no certificate {certificate_id}.")
        return Response(certificate_output(found, Disclosure(request.user, at=timezone.now())))


def _certificates(request: Request, project: str) -> QuerySet[Certificate]:
    found = access.access_project(request.user, project)
    rows = Certificate.objects.filter(version__feature_view__project=found)
    rows = told_to(request.user, rows, "version__feature_view")
    return rows.select_related("version__feature_view__project", "requested_by", "table")


def _sample(body: dict[str, Any]) -> int | None:
    """Return how many entities are looked at; None: all."""
    if _flag(body, "full"):
        if "sample" in body:
            raise BadBody("send full or sample, not both.")
        return None
    sample = body.get("sample", settings.COMPARE_SAMPLE)
    if not isinstance(sample, int) or isinstance(sample, bool):
        raise BadBody(f"sample {sample!r} is not a number of entities.")
    return sample


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadBody(f"{name} {value!r}: send true or false.")
    return value
