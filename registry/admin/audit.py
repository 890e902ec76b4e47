"""The audit trail, to read and to search; nothing here can be changed."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from django.contrib import admin
from django.db.models import Q
from django.utils.text import Truncator
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from lib.parameters import BadFilter
from registry import verbs
from registry.admin.base import ScopedAdmin
from registry.admin.changes import change_row
from registry.admin.filters import MOST_CHOICES, TextFilter, column_filter
from registry.admin.scope import projects_with
from registry.choices import Right
from registry.markup import breakable, dash, link, utc_stacked
from registry.models import AuditEntry, Project
from registry.models.names import PSEUDONYM, names_of
from registry.spec.differences import differ
from registry.spec.wording import brief
from registry.trail.deeds import subject_of
from registry.trail.search import of_request, says

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from registry.spec.differences import Difference


GIST_LENGTH = 120
INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?(?:\+00:00|Z)")


class WhoFilter(TextFilter):
    """By who did it, by the pseudonyms among the entries that the person may see."""

    title = parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by("actor_pseudonym")
        found = rows.values_list("actor_pseudonym", flat=True).distinct()[:MOST_CHOICES]
        names = names_of([each for each in found if PSEUDONYM.fullmatch(each)])
        return sorted(((each, names.get(each, each)) for each in found), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(actor_pseudonym=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ScopedAdmin):
    """Entries of the projects whose trail the person may read; superusers also see the rest."""

    page = "registry/admin/audit_entry.html"
    view_right = Right.VIEW_AUDITENTRY
    view_refusal = (
        "Reading the audit trail needs the right view_auditentry in a project: "
        "its stewards, auditors and owners have it."
    )
    add_refusal = "Entries are written by what people do, never by hand."
    list_display = ("when", "who", "what", "title", "project", "gist")
    list_filter = (
        column_filter("verb"),
        WhoFilter,
        column_filter("project_name", "project"),
        ("at", RangeDateTimeFilter),
    )
    search_fields = ("actor__username", "verb", "subject_label", "project_name", "hash")
    search_help_text = "Search by person, verb, subject, words or request id"
    empty_hint = "Every change of a project leaves an entry here"
    ordering = ("-id",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return readable_entries(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if request.user.is_superuser or not isinstance(obj, AuditEntry):
            return may_read(request)
        return obj.project_name in _names(request)

    def content(self, request: HttpRequest, obj: AuditEntry) -> dict[str, Any]:
        same_act = self.get_queryset(request).filter(act_id=obj.act_id).exclude(pk=obj.pk)
        return {
            "entry": obj,
            "title": f"Entry {obj.pk}",
            "rows": [change_row(each) for each in changed_values(obj.before, obj.after)],
            "data": {
                key: brief(value) for key, value in obj.data.items() if value not in ("", None)
            },
            "same_act": same_act.order_by("id")[:50],
        }

    @display(description="When", ordering="id")
    def when(self, entry: AuditEntry) -> SafeString:
        return utc_stacked(entry.at)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """Search as Django does, and what people said, people as subjects, and request ids."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        if not search_term or "\x00" in search_term:
            return found, duplicates
        more = says(search_term)
        with suppress(BadFilter):
            more |= of_request(search_term)
        return found | queryset.filter(more), duplicates

    @display(description="Who", ordering="actor_pseudonym")
    def who(self, entry: AuditEntry) -> SafeString:
        return breakable(entry.actor_name)

    @display(description="Verb", ordering="verb")
    def what(self, entry: AuditEntry) -> SafeString:
        return breakable(entry.verb)

    @display(description="Subject", ordering="subject_label")
    def title(self, entry: AuditEntry) -> SafeString:
        return link(entry, subject_of(entry) or "–")

    @display(description="Project", ordering="project_name")
    def project(self, entry: AuditEntry) -> SafeString:
        return breakable(entry.project_name) if entry.project_name else dash()

    @display(description="In short")
    def gist(self, entry: AuditEntry) -> SafeString:
        return breakable(Truncator(gist_of(entry)).chars(GIST_LENGTH)) or dash()


def may_read(request: HttpRequest) -> bool:
    """Tell whether the person may read any part of the trail."""
    return bool(request.user.is_superuser or projects_with(request, Right.VIEW_AUDITENTRY))


def readable_entries(request: HttpRequest) -> QuerySet[AuditEntry]:
    """Return the entries the person may read, newest first."""
    rows = AuditEntry.objects.named().order_by("-id")
    return rows if request.user.is_superuser else rows.filter(project_name__in=_names(request))


def latest_deeds(request: HttpRequest) -> QuerySet[AuditEntry]:
    """Return what people did and the system decided, newest first, but no routine."""
    return readable_entries(request).exclude(verb__in=verbs.routine())


def gist_of(entry: AuditEntry) -> str:
    """Return the comment or refusal of an entry, else what changed when that is a few words."""
    if said := entry.data.get("comment") or entry.data.get("detail") or entry.data.get("error"):
        return str(said)
    before, after = (_few_words(value) for value in (entry.before, entry.after))
    return f"{before} → {after}" if before and after else before or after


def _few_words(value: Any) -> str:
    if isinstance(value, dict):
        scalars = {key: part for key, part in value.items() if isinstance(part, (str, int, bool))}
        words = (f"{key.replace('_', ' ')} {brief(part)}" for key, part in scalars.items())
        return to_the_minute(", ".join(words))
    return "" if value is None or str(value).startswith("{") else str(value)


def to_the_minute(text: str) -> str:
    """Write the instants in ``text`` for reading, as ``2026-11-21 06:21 UTC``."""
    return INSTANT.sub(r"\1 \2 UTC", text)


def _names(request: HttpRequest) -> set[str]:
    visible: Q = Q(pk__in=projects_with(request, Right.VIEW_AUDITENTRY))
    return set(Project.objects.filter(visible).values_list("name", flat=True))


def changed_values(before: Any, after: Any) -> list[Difference]:
    """Return each value that differs; definitions are compared by key."""
    return list(differ("", _read(before), _read(after)))


def _read(value: Any) -> Any:
    """Definitions stand in the trail as canonical JSON."""
    return msgspec.json.decode(value) if isinstance(value, str) and value.startswith("{") else value
