"""Approving several versions of the list at once: one page that shows each, then each by itself.

Not for which may be (``operations.lifecycle.bulk``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from lib.errors import Forbidden
from lib.pools import Pool, answered_in
from registry import access
from registry.admin.attempts import attempt
from registry.admin.queue import waiting_for
from registry.approval import evidence_wanted, require_reviewer
from registry.choices import State
from registry.denials import attempting
from registry.evidence import EvidenceMissing, decided_on_each, evidence_of, require_evidence
from registry.operations.lifecycle.bulk import MOST_AT_ONCE, approve_in_bulk, why_alone
from registry.words import in_short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from registry.models import FeatureViewVersion

LIST = "admin:registry_featureviewversion_changelist"


class Line(NamedTuple):
    """One version that was chosen; ``why`` it cannot be approved here, empty where it can."""

    version: FeatureViewVersion
    change: str
    packet_hash: str
    why: str


def confirmation(
    request: HttpRequest, admin: ModelAdmin[Any], chosen: QuerySet[FeatureViewVersion]
) -> HttpResponse | None:
    """Show what would be approved, each with its change and what the approval binds."""
    count = chosen.count()
    if count > MOST_AT_ONCE:
        messages.error(request, f"{count} versions are chosen; choose at most {MOST_AT_ONCE}.")
        return None
    lines = list(_lines(request, chosen))
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": "Approve together",
        "ready": [line for line in lines if not line.why],
        "others": [line for line in lines if line.why],
        "back": request.GET.urlencode(),
    }
    return TemplateResponse(request, "registry/admin/bulk.html", context)


def _lines(request: HttpRequest, chosen: Iterable[FeatureViewVersion]) -> Iterable[Line]:
    versions = list(chosen)
    mine = set(waiting_for(request).order_by().values_list("pk", flat=True))
    shown = decided_on_each(versions)
    for version in versions:
        why = why_alone(version)
        if version.state != State.IN_REVIEW:
            why = f"is {version.state}, so there is nothing to decide"
        elif version.pk not in mine:
            why = "does not wait for you: you wrote some of it, have decided, or may not"
        elif not why:
            why = _refused(request, version)
        yield Line(version, in_short(version.packet), shown[version.pk], why)


def _refused(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Say what an approval would be refused for, as far as that can be known before."""
    try:
        require_reviewer(version, access.acting_user(request))
        require_evidence(version, evidence_of(version), evidence_wanted(version))
    except (Forbidden, EvidenceMissing) as error:
        return error.message
    return ""


def approve_chosen_path(admin: ModelAdmin[Any]) -> URLPattern:
    """Return where the page's button leads."""

    @answered_in(Pool.DESK)
    @attempting("approving several versions")
    def view(request: HttpRequest) -> HttpResponse:
        return _approve(request, admin)

    address = admin.admin_site.admin_view(require_POST(view))
    return path("approve-chosen/", address, name="registry_featureviewversion_approve_chosen")


def _approve(request: HttpRequest, admin: ModelAdmin[Any]) -> HttpResponse:
    """Approve each as it was shown; what is refused is told by name, the others go through."""
    wanted = [text.partition(":") for text in request.POST.getlist("version")]
    hashes = {int(pk): shown for pk, _, shown in wanted if pk.isdecimal() and len(pk) < 19}
    if len(wanted) > MOST_AT_ONCE:
        messages.error(
            request, f"{len(wanted)} versions are chosen; choose at most {MOST_AT_ONCE}."
        )
        hashes = {}
    done = []
    for version in admin.get_queryset(request).filter(pk__in=hashes).order_by("submitted_at", "pk"):
        approve = partial(
            approve_in_bulk,
            version=version,
            actor=access.acting_user(request),
            at=timezone.now(),
            packet_hash=hashes[version.pk],
            comment=request.POST.get("comment", "").strip(),
        )
        if attempt(request, approve, wanted=f"approving {version}") is not None:
            done.append(str(version))
    if done:
        messages.success(request, f"Your approval of {', '.join(done)} is recorded.")
    elif not hashes:
        messages.error(request, "Nothing was chosen.")
    back = request.POST.get("back", "")
    return HttpResponseRedirect(reverse(LIST) + (f"?{back}" if back else ""))
