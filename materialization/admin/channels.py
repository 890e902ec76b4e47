"""Alert channels: where a project's alerts are sent; the address is typed and never shown again.

Not for sending: a worker does, and what became of it is on the channel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_variables
from unfold.decorators import display

from lib.clock import database_now
from lib.errors import Forbidden
from materialization.choices import Severity
from materialization.models import AlertChannel
from materialization.quality.alerts.channels import KINDS
from materialization.quality.alerts.notices import TEST_TITLE, text_of_test
from materialization.requests.channels import (
    MOST_CHANNELS,
    add_channel,
    change_channel,
    remove_channel,
    require_channels,
    try_channel,
)
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter
from registry.admin.forms import StyledForm
from registry.admin.panels import Tile, overview
from registry.admin.scope import projects_with
from registry.choices import Right
from registry.denials import attempting
from registry.markup import badge, breakable, link, muted, utc_stacked
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

SEVERITIES = [
    (Severity.WARNING.value, "warnings and critical alerts"),
    (Severity.CRITICAL.value, "critical alerts only"),
]

REVIEWS = "And of reviews: submitted, commented on, decided, overdue"


class ChannelForm(StyledForm):
    """What of a channel can change; an address that is left empty stays."""

    url = forms.CharField(
        label="Another address",
        max_length=2_000,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Empty: as it is. It is a secret and never shown.",
    )
    severity = forms.ChoiceField(label="Hears of", choices=SEVERITIES)
    hears_reviews = forms.BooleanField(required=False, label=REVIEWS)
    enabled = forms.BooleanField(required=False, label="Send to it")


class NewChannelForm(StyledForm):
    project = forms.ModelChoiceField(Project.objects.none(), required=False)
    name = forms.CharField(max_length=63, help_text="What people call it, as in: on-call chat")
    url = forms.CharField(
        label="Address",
        max_length=2_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    severity = forms.ChoiceField(label="Hears of", choices=SEVERITIES)
    hears_reviews = forms.BooleanField(required=False, label=REVIEWS)

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(*args)
        mine = Project.objects.filter(pk__in=projects_with(request, Right.CHANGE_SCHEDULE))
        project: Any = self.fields["project"]
        project.queryset, project.required = mine, not request.user.is_superuser
        project.empty_label = "the installation" if request.user.is_superuser else None
        hosts = ", ".join(settings.ALERT_HOSTS) or "none yet: the operator sets ALERT_HOSTS"
        self.fields["url"].help_text = (
            f"As apprise writes it: {', '.join(f'{name}://' for name in KINDS)}."
            f" Hosts it may lead to: {hosts}."
        )


@admin.register(AlertChannel)
class AlertChannelAdmin(ScopedAdmin):
    """Seen by those who may change them: where messages go is no matter of all members."""

    view_right = Right.CHANGE_SCHEDULE
    page = "materialization/admin/channel.html"
    posts: ClassVar[dict[str, str]] = {
        "edit": "changing an alert channel",
        "test": "testing an alert channel",
        "remove": "removing an alert channel",
    }
    list_display = ("title", "project_name", "leads_to", "hears", "state", "last")
    list_filter = (ProjectFilter,)
    search_fields = ("name", "where")
    search_help_text = "Search by name or host"
    empty_hint = "Alerts are shown here, by assay alerts and the API; a channel also sends them"
    add_refusal = "Stewards, operators and owners add alert channels of their projects."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertChannel]:
        mine = Q(project__in=projects_with(request, self.view_right))
        if request.user.is_superuser:
            mine |= Q(project=None)
        return AlertChannel.objects.filter(mine).select_related("project", "created_by")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if isinstance(obj, AlertChannel):
            return _may_change(request, obj.project)
        return super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        mine = projects_with(request, self.view_right)
        return self.has_view_permission(request) and bool(mine or request.user.is_superuser)

    def content(self, request: HttpRequest, obj: AlertChannel) -> dict[str, Any]:
        columns = "severity", "hears_reviews", "enabled"
        form = ChannelForm(initial={column: getattr(obj, column) for column in columns})
        notices = obj.notices.select_related("alert")[:10]
        test = TEST_TITLE, text_of_test(obj)
        return {"channel": obj, "form": form, "notices": notices, "test": test}

    @attempting("adding an alert channel")
    @sensitive_variables("form")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied(self.add_refusal)
        form = NewChannelForm(request, request.POST or None)
        if request.method == "POST" and form.is_valid():
            actor, at = access.acting_user(request), database_now()
            add = partial(add_channel, **form.cleaned_data, actor=actor, at=at)
            if channel := attempt(request, add, done="It hears of what opens from now on."):
                return HttpResponseRedirect(self.url_of(channel))
        context = self.frame(request, None) | {"form": form, "title": "New alert channel"}
        return TemplateResponse(request, "materialization/admin/channel_add.html", context)

    @sensitive_variables("form")
    def edit(self, request: HttpRequest, obj: AlertChannel) -> HttpResponse | None:
        form = ChannelForm(request.POST)
        if form.is_valid():
            actor, at = access.acting_user(request), database_now()
            change = partial(change_channel, channel=obj, **form.cleaned_data, actor=actor, at=at)
            attempt(request, change, done=f"{obj} is changed.")
            return None
        context = self.frame(request, obj) | self.content(request, obj) | {"form": form}
        return TemplateResponse(request, self.page, context, status=422)

    def test(self, request: HttpRequest, obj: AlertChannel) -> None:
        actor, at = access.acting_user(request), database_now()
        ask = partial(try_channel, channel=obj, actor=actor, at=at)
        done = (
            f"Sent to {obj.where} within seconds: “{TEST_TITLE}”, “{text_of_test(obj)}” What comes"
            " back stands under Latest messages."
        )
        attempt(request, lambda: ask() or True, done=done)

    def remove(self, request: HttpRequest, obj: AlertChannel) -> HttpResponse:
        actor, at, name = access.acting_user(request), database_now(), str(obj)
        end = partial(remove_channel, channel=obj, actor=actor, at=at)
        attempt(request, lambda: end() or True, done=f"{name} is removed.")
        return HttpResponseRedirect(reverse("admin:materialization_alertchannel_changelist"))

    @display(description="Channel", ordering="name")
    def title(self, channel: AlertChannel) -> SafeString:
        return link(channel, channel.name)

    @display(description="Project", ordering="project__name")
    def project_name(self, channel: AlertChannel) -> SafeString:
        return breakable(channel.project.name) if channel.project else muted("the installation")

    @display(description="Leads to")
    def leads_to(self, channel: AlertChannel) -> SafeString:
        return breakable(channel.where)

    @display(description="Hears of")
    def hears(self, channel: AlertChannel) -> str:
        of_alerts = dict(SEVERITIES)[channel.severity]
        return f"{of_alerts}; reviews" if channel.hears_reviews else of_alerts

    @display(description="State")
    def state(self, channel: AlertChannel) -> SafeString:
        if not channel.enabled:
            return badge("paused")
        if channel.error:
            why = breakable(channel.error)
            return format_html('{}<br><small class="as-muted">{}</small>', badge("failing"), why)
        return badge("on")

    @display(description="Last sent", ordering="last_sent_at")
    def last(self, channel: AlertChannel) -> SafeString:
        return utc_stacked(channel.last_sent_at)


@overview
def failing(request: HttpRequest) -> Iterator[Tile]:
    """Show that channels take no messages to those who may mend them; nothing while all do."""
    mine = Q(project__in=projects_with(request, Right.CHANGE_SCHEDULE))
    if request.user.is_superuser:
        mine |= Q(project=None)
    found = AlertChannel.objects.filter(mine, enabled=True).exclude(failing_since=None)
    if names := [channel.name for channel in found[:MOST_CHANNELS]]:
        url, hint = reverse("admin:materialization_alertchannel_changelist"), ", ".join(names)
        yield Tile(
            33, "Channels that fail", "notifications_off", url, len(names), hint, is_bad=True
        )


def _may_change(request: HttpRequest, project: Project | None) -> bool:
    try:
        require_channels(request.user, project)
    except Forbidden:
        return False
    return True
