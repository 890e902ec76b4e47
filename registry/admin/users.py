"""Accounts, for superusers: made, let in or out; roles are given on the page of a project.

Not for groups or Django's own permissions: nothing here reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm

from lib.errors import AssayError
from registry.access import PERSON, acting_user, is_person
from registry.admin.attempts import refuse
from registry.admin.base import ScopedAdmin
from registry.admin.proposals import ONE_PAIR_OF_EYES, say_proposed
from registry.admin.user_forms import AccountForm, NewAccountForm
from registry.choices import AccountKind
from registry.markup import badge, link, muted, utc
from registry.models import Proposal
from registry.operations.people import passwords, users
from registry.proposals import was_alone

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

admin.site.unregister(Group)
admin.site.unregister(User)


#: Unfold's own view of one's password, before it is wrapped below.
_change_own_password = admin.site.password_change


def password_change(
    request: HttpRequest, extra_context: dict[str, Any] | None = None
) -> HttpResponse:
    """Change one's own password as Django does, with its trace."""
    with transaction.atomic():
        response: HttpResponse = _change_own_password(request, extra_context)
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            user = acting_user(request)
            passwords.note_password_changed(user=user, actor=user, at=timezone.now())
    return response


admin.site.password_change = password_change  # type: ignore[assignment, method-assign]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ScopedAdmin):  # type: ignore[misc, type-arg]
    view_refusal = add_refusal = "Only superusers manage accounts."
    form = AccountForm
    add_form = NewAccountForm
    add_form_template = "registry/admin/user_add.html"
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "kind", "active", "staff", "superuser", "roles")
    list_display_links = ("username",)
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "first_name", "last_name", "email")
    search_help_text = "Search by name or address"
    ordering = ("username",)
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "kind", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights everywhere", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("In projects", {"fields": ("roles",)}),
        ("Dates", {"fields": ("seen", "joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "kind", "password1", "password2", "is_staff")}),
    )
    readonly_fields = ("roles", "seen", "joined")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        users = User.objects.annotate(is_person=ExpressionWrapper(PERSON, BooleanField()))
        return users.prefetch_related("memberships__project").order_by("username")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_view_permission(request)

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied(self.add_refusal)
        return super().add_view(request, *args, **kwargs)

    def response_add(self, request: HttpRequest, obj: User, *args: Any) -> HttpResponse:
        """Go on to the account's page, which says what it still needs."""
        response: HttpResponse = super().response_add(request, obj, *args)
        messages.info(request, next_step(obj))
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        save = users.change_user if change else users.add_user
        kind = AccountKind(form.cleaned_data["kind"])
        at = timezone.now()
        saved = save(user=obj, kind=kind, actor=acting_user(request), at=at)
        if isinstance(saved, Proposal):
            say_proposed(request, saved)
        elif change and was_alone(obj, at=at):
            messages.warning(request, ONE_PAIR_OF_EYES)
        if change and "is_active" in form.changed_data and not obj.is_active:
            _say_what_is_left(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing: an account has no related rows in this form."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show a refusal as a message; Django's transaction around the form is rolled back."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except AssayError as error:
            refuse(request, error, "making or changing an account")
            return HttpResponseRedirect(request.get_full_path())

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        user = self.get_object(request, id)
        may = user is not None and self.has_change_permission(request, user)
        if user is not None and may:
            try:
                passwords.require_login_allowed(user)
            except AssayError as error:
                refuse(request, error)
                return HttpResponseRedirect(reverse("admin:auth_user_change", args=[user.pk]))
        # Whoever only looks at the form, or may not, holds nothing.
        sets = may and request.method == "POST"
        with passwords.setting_password() if sets else transaction.atomic():
            before = user.password if user is not None else ""
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if request.method == "POST" and isinstance(response, HttpResponseRedirect):
                user, actor, at = User.objects.get(pk=id), acting_user(request), timezone.now()
                see_to = passwords.password_set(user=user, before=before, actor=actor, at=at)
                if see_to:
                    list(messages.get_messages(request))  # Django's says that it is changed
                    say_proposed(request, see_to)
                elif was_alone(user, at=at):
                    messages.warning(request, ONE_PAIR_OF_EYES)
        return response

    @display(description="Kind")
    def kind(self, user: User) -> SafeString:
        person = user.is_person  # type: ignore[attr-defined]
        return badge("info" if person else "neutral", "person" if person else "service account")

    @display(description="Active", ordering="is_active", boolean=True)
    def active(self, user: User) -> bool:
        return user.is_active

    @display(description="Admin login", ordering="is_staff", boolean=True)
    def staff(self, user: User) -> bool:
        return user.is_staff

    @display(description="Superuser", ordering="is_superuser", boolean=True)
    def superuser(self, user: User) -> bool:
        return user.is_superuser

    @display(description="Roles")
    def roles(self, user: User) -> SafeString:
        rows = ((link(row.project), row.role) for row in user.memberships.all())
        return format_html_join(", ", "{}: {}", rows) or muted("none")

    @display(description="Last login")
    def seen(self, user: User) -> SafeString:
        return utc(user.last_login)

    @display(description="Made")
    def joined(self, user: User) -> SafeString:
        return utc(user.date_joined)


def next_step(user: User) -> SafeString:
    """Say what a new account still needs, with links to where it gets that."""
    projects = _link("registry_project_changelist", "Projects & members")
    then: str
    if not is_person(user):
        tokens = _link("registry_apitoken_add", "API tokens")
        then = format_html(", then issue it a token under {}.", tokens)
    elif user.is_staff:
        then = ". Until then they see nothing."
    else:
        then = ". Without admin login they work through the API only."
    return format_html(
        "Next: open the project under {} and grant {} a role{}", projects, user, then
    )


def _link(page: str, words: str) -> SafeString:
    return format_html('<a class="as-link" href="{}">{}</a>', reverse(f"admin:{page}"), words)


def _say_what_is_left(request: HttpRequest, user: User) -> None:
    """Name the projects that lost their last active owner: somebody has to see to them."""
    if names := users.owned_alone(user):
        told = ", ".join(names)
        messages.warning(request, f"{told}: no active owner is left. Grant somebody that role.")
