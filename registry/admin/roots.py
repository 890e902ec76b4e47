"""The part of a project's page by which superusers say which directories it reads.

Not for the rest of the page: ``projects`` has it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.utils import timezone

from registry import access
from registry.admin.attempts import attempt
from registry.admin.forms import RootForm
from registry.admin.proposals import say_proposed
from registry.models import Proposal
from registry.operations.registration import roots

if TYPE_CHECKING:
    from collections.abc import Callable

    from django import forms
    from django.http import HttpRequest, HttpResponse

    from registry.models import Project


class RootDoors:
    """Assigning, moving and releasing roots; the page it is part of shows itself again."""

    def show_again(
        self, request: HttpRequest, obj: Project, *, status: int, **forms_by_name: forms.Form
    ) -> HttpResponse:
        raise NotImplementedError

    def assign_root(self, request: HttpRequest, obj: Project) -> HttpResponse | None:
        return self._with_root_form(request, obj, self._assign)

    def move_root(self, request: HttpRequest, obj: Project) -> HttpResponse | None:
        return self._with_root_form(request, obj, self._move)

    def _with_root_form(
        self,
        request: HttpRequest,
        obj: Project,
        change: Callable[[HttpRequest, Project, dict[str, Any]], None],
    ) -> HttpResponse | None:
        """Change a root as was typed; show the page again, and why, where that cannot be."""
        may = partial(access.require_superuser, request.user)
        if attempt(request, lambda: may() or True) is None:
            return None
        form = RootForm(request.POST)
        if not form.is_valid():
            return self.show_again(request, obj, status=422, root_form=form)
        change(request, obj, form.cleaned_data)
        return None

    def _assign(self, request: HttpRequest, obj: Project, typed: dict[str, Any]) -> None:
        actor, at = access.acting_user(request), timezone.now()
        assign = partial(roots.assign_root, project=obj, actor=actor, at=at, **typed)
        self._say(request, attempt(request, assign), "The root is assigned.")

    def _say(self, request: HttpRequest, result: object, done: str) -> None:
        """Tell what became of something that may wait for a second person."""
        if isinstance(result, Proposal):
            say_proposed(request, result)
        elif result is not None:
            messages.success(request, done)

    def _move(self, request: HttpRequest, obj: Project, typed: dict[str, Any]) -> None:
        root = obj.roots.filter(name=typed["name"]).first()
        if root is None:
            messages.error(request, "There is no such root here. Look at the list again.")
            return
        path, actor = typed["path"], access.acting_user(request)
        move = partial(roots.move_root, root=root, path=path, actor=actor, at=timezone.now())
        drafts = attempt(request, move)
        if isinstance(drafts, Proposal):
            say_proposed(request, drafts)
        elif drafts is not None:
            names = ", ".join(draft.name for draft in drafts) or "no view"
            messages.success(request, f"Root {root} is moved; new drafts of {names}.")

    def release_root(self, request: HttpRequest, obj: Project) -> None:
        root = obj.roots.filter(name=request.POST.get("name", "")).first()
        may = partial(access.require_superuser, request.user)
        if attempt(request, lambda: may() or True) is None:
            return
        if root is None:
            messages.error(request, "There is no such root here. Look at the list again.")
            return
        actor, at = access.acting_user(request), timezone.now()
        release = partial(roots.release_root, root=root, actor=actor, at=at)
        attempt(request, lambda: release() or True, done=f"Root {root} is released.")
