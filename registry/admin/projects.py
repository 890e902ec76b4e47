"""Projects and who is what in them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import display

from lib.errors import AssayError
from lib.seen import ChangedMeanwhile
from registry import access
from registry.accounts.hands import DECIDING_ROLES
from registry.admin.attempts import attempt, refuse
from registry.admin.base import ScopedAdmin
from registry.admin.connections import ConnectionDoors
from registry.admin.forms import (
    MAX_SUGGESTIONS,
    GrantForm,
    NewProjectForm,
    ProjectForm,
    RevokeForm,
    RootForm,
)
from registry.admin.proposals import ONE_PAIR_OF_EYES, say_proposed
from registry.admin.roots import RootDoors
from registry.admin.scope import projects_with
from registry.choices import Right, Role
from registry.denials import attempting
from registry.markup import link, utc
from registry.models import Project, Proposal
from registry.operations.people import members, projects
from registry.operations.registration.registered import drift_of
from registry.proposals import open_proposals, visible_proposals, words_of
from registry.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection

    from django import forms
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: Objects of a project that its page compares with their commits.
MOST_COMPARED = 500


#: Proposals that the page of a project lists.
MOST_SHOWN = 20


@admin.register(Project)
class ProjectAdmin(RootDoors, ConnectionDoors, ScopedAdmin):
    project_path = "pk"
    page = "registry/admin/project.html"
    posts: ClassVar[dict[str, str]] = {
        "edit": "changing the project",
        "grant": "changing who has which role",
        "revoke": "changing who has which role",
        "agree": "agreeing to a role",
        "assign_root": "changing where the project's files are",
        "move_root": "changing where the project's files are",
        "release_root": "changing where the project's files are",
        "try_connection": "trying a connection",
    }
    list_display = ("title_link", "title", "people", "views", "policy", "created")
    search_fields = ("name", "title")
    search_help_text = "Search by name"
    empty_hint = "A superuser adds a project here, or runs manage.py create_project"

    add_refusal = "Only superusers make projects."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        rows: QuerySet[Project] = super().get_queryset(request)
        return rows.annotate(
            people_count=Count("memberships__user", distinct=True),
            view_count=Count("featureview", distinct=True),
        )

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_view_permission(request)
        return obj.pk in projects_with(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def content(self, request: HttpRequest, obj: Project) -> dict[str, Any]:
        may_manage = access.can(request.user, Right.MANAGE_MEMBERS, obj)
        return {
            "project": obj,
            "may_manage": may_manage,
            "form": ProjectForm(initial=projects.columns(obj)),
            "grant_form": GrantForm(),
            "may_assign": request.user.is_superuser,
            "root_form": RootForm(),
            "roots": obj.roots.select_related("assigned_by"),
            **self.connections_content(request, obj),
            "people": suggestions() if may_manage else [],
            "memberships": obj.memberships.select_related("user", "granted_by", "accepted_by"),
            "deciding": DECIDING_ROLES,
            "proposals": self._waiting(request, obj),
            "roles": _role_words(),
            "drift": drift_of(obj, most=MOST_COMPARED),
        }

    def _waiting(self, request: HttpRequest, obj: Project) -> list[tuple[Proposal, str]]:
        rows = visible_proposals(request.user).filter(project=obj)
        found = open_proposals(rows, at=timezone.now())[:MOST_SHOWN]
        return [(each, words_of(each)) for each in found]

    @attempting("making a project")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied(self.add_refusal)
        form = NewProjectForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            create = partial(
                projects.create_project,
                **form.cleaned_data,
                actor=access.acting_user(request),
                at=timezone.now(),
            )
            if project := attempt(request, create, done="The project is made; you own it."):
                return HttpResponseRedirect(self.url_of(project))
        context = self.frame(request, None) | {"form": form, "title": "New project"}
        return TemplateResponse(request, "registry/admin/project_add.html", context)

    def edit(self, request: HttpRequest, obj: Project) -> HttpResponse | None:
        form = ProjectForm(request.POST)
        if form.is_valid():
            try:
                proposal = self._change(request, obj, form)
            except ChangedMeanwhile as error:
                refuse(request, error)
                obj.refresh_from_db()
                return self.show_again(request, obj, status=409)
            except AssayError as error:
                refuse(request, error)
            else:
                if proposal:
                    say_proposed(request, proposal)
                else:
                    messages.success(request, f"{obj} is changed.")
                return None
        return self.show_again(request, obj, status=422, form=form)

    def _change(self, request: HttpRequest, obj: Project, form: ProjectForm) -> Proposal | None:
        return projects.change_project(
            project=obj,
            actor=access.acting_user(request),
            at=timezone.now(),
            seen=form.seen,
            **form.cleaned_data,
        )

    def grant(self, request: HttpRequest, obj: Project) -> HttpResponse | None:
        # The form says which accounts there are; that is for those who may let one in.
        may = partial(access.require, request.user, Right.MANAGE_MEMBERS, obj)
        if attempt(request, lambda: may() or True) is None:
            return None
        form = GrantForm(request.POST)
        if not form.is_valid():
            return self.show_again(request, obj, status=422, grant_form=form)
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        give = partial(
            members.grant_role,
            project=obj,
            user=user,
            role=role,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        given = attempt(request, give)
        if isinstance(given, Proposal):
            say_proposed(request, given)
        elif given:
            messages.success(request, f"{user} is {role} of {obj} now.")
            if len(given.hands) == 1 and role in DECIDING_ROLES:
                messages.warning(request, ONE_PAIR_OF_EYES)
        return None

    def agree(self, request: HttpRequest, obj: Project) -> None:
        """Add one's word to a role that somebody gave alone."""
        form = RevokeForm(obj, request.POST)
        if not form.is_valid():
            messages.error(request, str(form.errors["membership"][0]))
            return
        membership = form.cleaned_data["membership"]
        agree = partial(
            members.agree_to_role,
            membership=membership,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        said = f"You agreed that {membership.user} is {membership.role} of {obj}."
        attempt(request, lambda: agree() or True, done=said)

    def revoke(self, request: HttpRequest, obj: Project) -> None:
        form = RevokeForm(obj, request.POST)
        if not form.is_valid():
            messages.error(request, str(form.errors["membership"][0]))
            return
        membership = form.cleaned_data["membership"]
        take = partial(
            members.revoke_role,
            project=obj,
            user=membership.user,
            role=Role(membership.role),
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        before = obj.memberships.count()
        attempt(request, take)
        if obj.memberships.count() < before:
            messages.success(request, f"{membership.user} is no longer {membership.role} of {obj}.")

    def show_again(
        self, request: HttpRequest, obj: Project, *, status: int, **forms_by_name: forms.Form
    ) -> HttpResponse:
        """Show the page with what was typed, if it is given, and why it was not taken."""
        context = self.frame(request, obj) | self.content(request, obj) | forms_by_name
        return TemplateResponse(request, self.page, context, status=status)

    @display(description="Project", ordering="name")
    def title_link(self, project: Project) -> SafeString:
        return link(project)

    @display(description="People", ordering="people_count")
    def people(self, project: Project) -> int:
        return project.people_count  # type: ignore[attr-defined, no-any-return]

    @display(description="Feature views", ordering="view_count")
    def views(self, project: Project) -> int:
        return project.view_count  # type: ignore[attr-defined, no-any-return]

    @display(description="Approvals")
    def policy(self, project: Project) -> str:
        return f"{project.approvals_required}, {project.approvals_required_sensitive} if sensitive"

    @display(description="Created", ordering="created_at")
    def created(self, project: Project) -> SafeString:
        return utc(project.created_at)


def suggestions(project: Project | None = None) -> list[str]:
    """Return names to choose from: of active accounts, or of the project's people."""
    people = User.objects.filter(is_active=True).order_by("username")
    if project is not None:
        people = people.filter(access.PERSON, memberships__project=project).distinct()
    return list(people.values_list("username", flat=True)[:MAX_SUGGESTIONS])


def rights_in_words(rights: Collection[str]) -> str:
    words = {right: str(name).removeprefix("Can ") for right, name in Project._meta.permissions}
    return "; ".join(words[right] for right in words if right in rights)


def _role_words() -> list[tuple[str, str]]:
    """Return each role with the rights it carries, in words."""
    return [(role, rights_in_words(rights)) for role, rights in ROLES.items()]
