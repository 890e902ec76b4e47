"""Certificates: what comparisons of the stores found, and the buttons that have one made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpResponseRedirect
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from lib.clock import database_now
from materialization.choices import CertificateKind, CertificateStatus
from materialization.disclosure import Disclosure
from materialization.markup import outcomes
from materialization.models import Certificate
from materialization.requests.certificates import request_certificate
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.admin.scope import projects_with
from registry.choices import SERVED_STATES, Right
from registry.denials import attempting
from registry.markup import badge, breakable, link, muted, utc_stacked
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

CHARTED = 60


@admin.register(Certificate)
class CertificateAdmin(ScopedAdmin):
    project_path = "version__feature_view__project"
    page = "materialization/admin/certificate.html"
    posts: ClassVar[dict[str, str]] = {
        "again": "comparing the stores of certificate {object_id} again",
        "repair": "putting right what certificate {object_id} found",
    }
    list_display = ("title", "version_link", "status_badge", "scope", "found", "requested")
    list_filter = (column_filter("status"), column_filter("kind"), ProjectFilter)
    search_fields = ("=id", "version__feature_view__name")
    search_help_text = "Search by view"
    empty_hint = "Each loaded table is compared by itself, every hour unless it is configured else"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Certificate]:
        related = "version__feature_view__project", "table", "requested_by"
        rows: QuerySet[Certificate] = super().get_queryset(request)
        return rows.select_related(*related).defer("examples")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.compare))
        own = path("compare/<int:version_id>/", view, name="materialization_compare")
        return [own, *super().get_urls()]

    def content(self, request: HttpRequest, obj: Certificate) -> dict[str, Any]:
        feature_view = obj.version.feature_view
        may_run = access.can(request.user, Right.MATERIALIZE_FEATUREVIEW, feature_view)
        last = obj.table.certificates.filter(kind=obj.kind).order_by("-id")[:CHARTED]
        is_online = obj.kind == CertificateKind.ONLINE
        differs = obj.status == CertificateStatus.DIFFERENT
        may_ask = may_run and not obj.is_live and obj.version.state in SERVED_STATES
        may_put_right = may_ask and is_online
        return {
            "certificate": obj,
            "chart": outcomes(list(last)[::-1]),
            "examples": Disclosure(request.user, at=timezone.now()).examples(obj),
            "asker": _asker(obj),
            "may_ask": may_ask,
            "is_online": is_online,
            "makes_ticks": obj.version.spec.transform.makes_ticks,
            "may_repair": may_put_right and differs and obj.repaired < obj.differences,
        }

    def again(self, request: HttpRequest, obj: Certificate) -> HttpResponse | None:
        return self._ask(request, obj.version, repair=False, kind=CertificateKind(obj.kind))

    def repair(self, request: HttpRequest, obj: Certificate) -> HttpResponse | None:
        return self._ask(request, obj.version, repair=True)

    @attempting("comparing the stores")
    def compare(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Queue a comparison of a version's stores by a sample."""
        versions = FeatureViewVersion.objects.select_related("feature_view__project", "table")
        visible = projects_with(request)
        version = versions.filter(pk=version_id, feature_view__project__in=visible).first()
        if version is None:
            raise Http404
        asked = self._ask(request, version, repair=False, sample=settings.COMPARE_SAMPLE)
        return asked or HttpResponseRedirect(self.url_of(version))

    def _ask(
        self,
        request: HttpRequest,
        version: FeatureViewVersion,
        *,
        repair: bool,
        sample: int | None = None,
        kind: CertificateKind = CertificateKind.ONLINE,
    ) -> HttpResponse | None:
        """Ask for a comparison and lead to its page; None where that is refused."""
        actor, at = access.acting_user(request), database_now()
        ask = partial(
            request_certificate,
            version=version,
            kind=kind,
            sample=sample,
            repair=repair,
            actor=actor,
            at=at,
        )
        asked = attempt(request, ask)
        return HttpResponseRedirect(self.url_of(asked)) if asked else None

    @display(description="Certificate", ordering="id")
    def title(self, certificate: Certificate) -> SafeString:
        return link(certificate, f"Certificate {certificate.pk}")

    @display(description="Version", ordering="version__feature_view__name")
    def version_link(self, certificate: Certificate) -> SafeString:
        return link(certificate.version)

    @display(description="Status", ordering="status")
    def status_badge(self, certificate: Certificate) -> SafeString:
        return badge(certificate.status)

    @display(description="Scope")
    def scope(self, certificate: Certificate) -> str:
        if certificate.kind == CertificateKind.SOURCE:
            return "the source"
        size = "all rows" if certificate.sample is None else f"a sample of {certificate.sample:,}"
        return f"{size}, with repair" if certificate.repair else size

    @display(description="Found")
    def found(self, certificate: Certificate) -> SafeString:
        if certificate.error:
            return breakable(certificate.error[:160])
        if certificate.is_live:
            return muted("under way")
        kinds = ("missing", "extra", "different")
        wrong = [f"{getattr(certificate, k):,} {k}" for k in kinds if getattr(certificate, k)]
        return format_html("{} equal{}", f"{certificate.equal:,}", "".join(f", {w}" for w in wrong))

    @display(description="Asked for by", ordering="requested_at")
    def requested(self, certificate: Certificate) -> SafeString:
        who = breakable(_asker(certificate))
        return format_html("{}<br>{}", who, utc_stacked(certificate.requested_at))


def _asker(certificate: Certificate) -> str:
    """Return a login, or which of the two that have none it was."""
    return f"{'' if certificate.requested_by else 'the '}{certificate.asker}"
