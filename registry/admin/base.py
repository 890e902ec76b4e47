"""What every page of the admin shares: seen by role, read-only, changed by operations only.

Not for Django's model permissions: nobody is given any; roles in projects decide.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from lib.pools import Pool, answered_in
from registry.admin.panels import render_panels
from registry.admin.scope import project_of, projects_with
from registry.choices import Right
from registry.denials import DenialNotRecorded, attempting, record_hidden
from registry.models import Project
from registry.site import may_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class PagesByKey(Paginator):  # type: ignore[type-arg]
    """Sorts a list by its keys and reads the rows of one page: definitions and packets are long."""

    def page(self, number: Any) -> Any:
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        rows: Any = self.object_list
        keys = list(rows.values_list("pk", flat=True)[bottom : bottom + self.per_page])
        found = rows.in_bulk(keys)
        return Page([found[key] for key in keys if key in found], number, self)


class ScopedAdmin(ModelAdmin):
    """Lists and pages of objects that belong to a project; subclasses open single doors to change.

    ``project_path`` leads from the model to its project, ``view_right`` is what seeing takes,
    ``page`` is the template of the object's page. ``posts`` has the methods that take (request,
    object) and answer a POST: their names end its URL, and each says what such a request attempts;
    ``pools`` says of some of them that they are no quick work of the desk.
    """

    project_path: ClassVar[str] = "project"
    view_right: ClassVar[Right] = Right.VIEW_PROJECT
    page: ClassVar[str] = ""
    posts: ClassVar[dict[str, str]] = {}
    pools: ClassVar[dict[str, Pool]] = {}
    #: What an empty list says: why it is empty and what would fill it.
    empty_hint: ClassVar[str] = ""
    #: What whoever may not open the list is told: the right it takes and who has it.
    view_refusal: ClassVar[str] = ""
    #: The same of whoever may not add; most things come in through definitions.
    add_refusal: ClassVar[str] = (
        "Nothing is added here: authors and owners register definitions with assay apply FILES."
    )
    change_list_template = "registry/admin/list.html"
    list_per_page = 50
    paginator = PagesByKey
    list_filter_submit = True
    #: The first column has a link of its own, which says the object's name in the way of all pages.
    list_display_links: Any = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = projects_with(request, self.view_right)
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(**{f"{self.project_path}__in": visible})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Tell whether a list's address asks what one of its filters offers; nothing else is.

        Any lookup of any column would read what no list shows, and a pattern holds the database,
        with SQLite the whole process, for as long as it pleases.
        """
        return any(_offers(offered, lookup) for offered in self.list_filter)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            # Lists are open to all staff: they hold only what the person may see.
            return bool(request.user.is_active and request.user.is_staff) or may_open(request)
        project = project_of(obj, self.project_path)
        return project is not None and project.pk in projects_with(request, self.view_right)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def history_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        raise Http404("the audit trail is the history")

    def log_addition(self, *args: Any) -> None:
        """Not written: the operation has left its audit entry."""

    log_change = log_deletion = log_addition

    def not_there(self, object_id: str) -> str:  # noqa: ARG002 - for those that have words of it
        """Return what to say where an object is not there; empty: what Django says."""
        return ""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.page:
            return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            self._note_hidden(request, unquote(object_id))
            if words := self.not_there(object_id):
                messages.warning(request, words)
                return HttpResponseRedirect(reverse("admin:index"))
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        # What is decided on is read before the panels that show it: of what comes in between, a
        # page may show more than its buttons send, never less.
        content = self.content(request, obj)
        return TemplateResponse(request, self.page, self.frame(request, obj) | content)

    def _note_hidden(self, request: HttpRequest, object_id: str) -> None:
        """Leave a trace where there is such an object, and the person may not know that."""
        key = self.model._meta.pk
        with suppress(ValidationError, AttributeError, DenialNotRecorded):
            obj = self.model._base_manager.filter(pk=key.to_python(object_id)).first()
            project = (
                obj if isinstance(obj, Project) else obj and project_of(obj, self.project_path)
            )
            if project is not None and project.pk not in projects_with(request):
                record_hidden(request, project.name, at=timezone.now())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied(self.view_refusal)
        words = {
            "title": capfirst(self.opts.verbose_name_plural),
            "has_role": bool(projects_with(request)),
        }
        return super().changelist_view(request, words | (extra_context or {}))  # type: ignore[no-any-return]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied(self.add_refusal)
        return super().add_view(request, form_url, extra_context)  # type: ignore[no-any-return]

    def frame(self, request: HttpRequest, obj: Model | None) -> dict[str, Any]:
        """Return what the layout around a page needs."""
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": str(obj) if obj else self.opts.verbose_name,
            "panels": render_panels(request, obj) if obj else [],
            "wide_panels": render_panels(request, obj, is_wide=True) if obj else [],
            "now": timezone.now(),
        }

    def content(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the page's template shows of ``obj``."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<path:object_id>/{method}/",
                self.admin_site.admin_view(require_POST(self._post(method, words))),
                name=f"{name}_{method}",
            )
            for method, words in self.posts.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def _post(self, method: str, words: str) -> Callable[..., HttpResponse]:
        handler: Callable[..., HttpResponse | None] = getattr(self, method)

        @answered_in(self.pools.get(method, Pool.DESK))
        @attempting(words)
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            obj = self.get_object(request, unquote(object_id))
            if obj is None or not self.has_view_permission(request, obj):
                raise Http404
            return handler(request, obj) or HttpResponseRedirect(self.url_of(obj))

        return view

    def url_of(self, obj: Model) -> str:
        name = f"{self.admin_site.name}:{obj._meta.app_label}_{obj._meta.model_name}_change"
        return reverse(name, args=[obj.pk])


def _offers(offered: Any, lookup: str) -> bool:
    """Tell whether a filter, as ``list_filter`` has it, is asked by a parameter of that name."""
    if isinstance(offered, str):
        return lookup == f"{offered}__exact"
    if isinstance(offered, tuple):  # a range: from and to, each a day and a time
        return re.fullmatch(rf"{offered[0]}_(from|to)(_[01])?", lookup) is not None
    return bool(lookup == offered.parameter_name)


#: The site every page registers with.
site = admin.site
