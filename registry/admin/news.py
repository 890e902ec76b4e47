"""What a person was told of: the list, the way to what each is about, what they want to hear.

Not for telling anybody (``registry.news``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.decorators import display

from lib.pools import Pool, answered_in
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.forms import StyledForm
from registry.choices import NewsKind
from registry.denials import attempting
from registry.markup import badge, breakable, muted, utc
from registry.models import Notification
from registry.news import heard_by, page_of
from registry.operations.people.news import choice_of, choose_news, mark_read

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

LIST = "admin:registry_notification_changelist"
WORDS = {
    NewsKind.REVIEW: "reviews that are asked of me",
    NewsKind.COMMENT: "comments on what I wrote, or talk about",
    NewsKind.DECISION: "decisions on what I wrote",
    NewsKind.REMINDER: "reviews that are overdue",
    NewsKind.GRANT: "grants: asked for, given, refused",
    NewsKind.QUESTION: "questions about what I wrote, or asked",
    NewsKind.BREAKAGE: "services that break, sources that change",
    NewsKind.FAILURE: "runs that fail, stores that fill up",
    NewsKind.DRIFT: "values that drift",
    NewsKind.FRESHNESS: "data that is older than promised",
}


class ReadFilter(TextFilter):
    title = "read"
    parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "not yet"), ("yes", "read")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("no", "yes"):
            return queryset
        return queryset.filter(read_at__isnull=self.value() == "no")


class ChoiceForm(StyledForm):
    """What somebody hears of: ticked is heard."""

    heard = forms.MultipleChoiceField(
        label="Tell me of",
        choices=[(kind.value, words) for kind, words in WORDS.items()],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    by_mail = forms.BooleanField(label="By mail too", required=False)


@admin.register(Notification)
class NotificationAdmin(ScopedAdmin):
    list_display = ("title", "kind_badge", "project_name", "when")
    list_display_links = ("title",)
    list_filter = (ReadFilter, column_filter("kind"), ProjectFilter)
    search_fields = ("label",)
    search_help_text = "Search by what it is about"
    empty_hint = (
        "You hear here of reviews that are asked of you, comments, decisions, and what goes wrong"
    )
    actions = ("read_chosen",)
    list_before_template = "registry/admin/news_tools.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        return heard_by(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if isinstance(obj, Notification):
            return heard_by(request.user).filter(pk=obj.pk).exists()
        return super().has_view_permission(request)

    def has_read_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @admin.action(description="Mark as read", permissions=["read"])
    def read_chosen(self, request: HttpRequest, chosen: QuerySet[Notification]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        mark_read(user=access.acting_user(request), at=timezone.now(), ids=ids)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Lead to what it is about: whoever follows it has read it."""
        one = self.get_object(request, object_id)
        if one is None:
            messages.warning(request, "That notification is gone, or not for you.")
            return HttpResponseRedirect(reverse(LIST))
        mark_read(user=access.acting_user(request), at=timezone.now(), ids=[one.pk])
        return HttpResponseRedirect(page_of(one.subject_type, one.subject_id))

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        own = [
            path("read-all/", site.admin_view(_read_all), name="registry_notification_read_all"),
            path(
                "choices/",
                site.admin_view(self._choices_view()),
                name="registry_notification_choices",
            ),
        ]
        return own + super().get_urls()

    def _choices_view(self) -> Any:
        @answered_in(Pool.DESK)
        @attempting("choosing what to hear of")
        def view(request: HttpRequest) -> HttpResponse:
            return _choices(request, self)

        return view

    @display(description="What happened")
    def title(self, one: Notification) -> SafeString:
        unread = "" if one.read_at else " as-unread"
        return format_html('<span class="as-link{}">{}</span>', unread, breakable(str(one)))

    @display(description="Kind", ordering="kind")
    def kind_badge(self, one: Notification) -> SafeString:
        return badge(one.kind)

    @display(description="Project", ordering="project__name")
    def project_name(self, one: Notification) -> SafeString:
        return breakable(one.project.name) if one.project else muted("the installation")

    @display(description="When", ordering="at")
    def when(self, one: Notification) -> SafeString:
        return utc(one.at)


@answered_in(Pool.DESK)
@attempting("marking notifications as read")
@require_POST
def _read_all(request: HttpRequest) -> HttpResponse:
    count = mark_read(user=access.acting_user(request), at=timezone.now())
    messages.success(request, f"{count} marked as read.")
    return HttpResponseRedirect(reverse(LIST))


def _choices(request: HttpRequest, page: NotificationAdmin) -> HttpResponse:
    """Show what the person hears of, or store what they ticked."""
    user = access.acting_user(request)
    form = ChoiceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        silent = [kind for kind in NewsKind if kind not in form.cleaned_data["heard"]]
        by_mail = form.cleaned_data["by_mail"]
        if attempt(request, lambda: choose_news(user=user, muted=silent, by_mail=by_mail)):
            messages.success(request, "You hear of these from now on.")
            return HttpResponseRedirect(reverse(LIST))
    if request.method != "POST":
        choice = choice_of(user)
        heard = [kind.value for kind in NewsKind if kind not in choice.muted]
        form = ChoiceForm(initial={"heard": heard, "by_mail": choice.by_mail})
    context = page.frame(request, None) | {
        "form": form,
        "title": "What I hear of",
        "address": user.email,
        "mails": bool(settings.EMAIL_HOST),
    }
    return TemplateResponse(request, "registry/admin/news_choices.html", context)
