"""Features: found by words and facets, each with a page of its own, and pages by name.

Not for what their values look like: apps that have data add panels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path

from registry.admin.addresses import by_name_view, named_url
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.feature_page import feature_context
from registry.admin.questions import ask, number_of, on_question
from registry.admin.scope import projects_with
from registry.catalogue.search import FACETS, BadSearch, Result, find_features
from registry.glass import marks_of
from registry.lineage_graph import NodeKind
from registry.models import Feature
from registry.operations.questions import (
    accept_answer,
    answer_question,
    close_question,
    reopen_question,
)
from registry.prose import first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from registry.catalogue.search import Found

PAGE_SIZE = 40
#: What the address of the search may ask; ``o`` is how lists are sorted, this one by its matches.
PARAMETERS = frozenset({*FACETS, "q", "p", "o"})
NOTHING = Result([], {name: [] for name in FACETS}, {})


class Choice(NamedTuple):
    """One value of a facet: how many it leaves, where it leads, and whether it is chosen."""

    value: str
    features: int
    url: str
    is_chosen: bool


@admin.register(Feature)
class FeatureAdmin(ScopedAdmin):
    project_path = "version__feature_view__project"
    page = "registry/admin/feature.html"
    posts: ClassVar[dict[str, str]] = {
        "ask": "asking about a feature",
        "answer": "answering a question",
        "accept": "accepting an answer",
        "close": "closing a question",
        "reopen": "opening a question",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feature]:
        rows: QuerySet[Feature] = super().get_queryset(request)
        related = "version__feature_view__project", "version__feature_view__default_version"
        return rows.select_related(*related, "version__table")

    def content(self, request: HttpRequest, obj: Feature) -> dict[str, Any]:
        return feature_context(request, obj)

    def ask(self, request: HttpRequest, obj: Feature) -> HttpResponse:
        text = request.POST.get("text", "")
        return self._said(request, obj, ask, feature=obj, text=text)

    def answer(self, request: HttpRequest, obj: Feature) -> HttpResponse:
        text = request.POST.get("text", "")
        return self._said(request, obj, on_question(answer_question), feature=obj, text=text)

    def accept(self, request: HttpRequest, obj: Feature) -> HttpResponse:
        chosen = number_of(request, "answer")
        step = on_question(accept_answer)
        return self._said(request, obj, step, feature=obj, answer_id=chosen)

    def close(self, request: HttpRequest, obj: Feature) -> HttpResponse:
        return self._said(request, obj, on_question(close_question), feature=obj)

    def reopen(self, request: HttpRequest, obj: Feature) -> HttpResponse:
        return self._said(request, obj, on_question(reopen_question), feature=obj)

    def _said(
        self, request: HttpRequest, obj: Feature, step: Callable[..., object], **said: Any
    ) -> HttpResponse:
        attempt(request, partial(step, request, **said))
        return HttpResponseRedirect(f"{self.url_of(obj)}#questions")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied(self.view_refusal)
        if unknown := set(request.GET) - PARAMETERS:
            raise BadRequest(f"the search has no {sorted(unknown)[0][:100]!r}.")
        chosen = {name: request.GET.get(name, "")[:200] for name in FACETS}
        q, result = request.GET.get("q", ""), NOTHING
        try:
            result = find_features(projects_with(request), q=q, chosen=chosen)
        except BadSearch as error:
            messages.error(request, error.message)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Features",
            "q": q,
            "has_role": bool(projects_with(request)),
            "facets": [(n, c) for n in FACETS if (c := _choices(request, n, result, chosen[n]))],
            "chosen": [(n, v, _address(request, **{n: None})) for n, v in chosen.items() if v],
            "guessed": result.guessed,
            "count": len(result.found),
            **_page(request, result.found),
        }
        return TemplateResponse(request, "registry/admin/features.html", context)

    def get_urls(self) -> list[URLPattern]:
        by_name = path(
            "of/<slug:project>/<slug:kind>/<path:name>",
            self.admin_site.admin_view(by_name_view),
            name="registry_feature_of",
        )
        return [by_name, *super().get_urls()]


def _page(request: HttpRequest, found: list[Found]) -> dict[str, Any]:
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("p"))
    marks = marks_of(each.entry.version.pk for each in page.object_list)
    lines = [
        {
            "found": each,
            "version": each.entry.version,
            "is_marked": each.entry.version.pk in marks,
            "words": each.entry.version.words,
            "feature": each.entry.feature,
            "reference": each.entry.version.reference(each.entry.feature.name),
            "description": first_line(each.entry.feature.description),
            "url": named_url(
                each.entry.version.project,
                NodeKind.FEATURE,
                each.entry.version.reference(each.entry.feature.name),
            ),
        }
        for each in page.object_list
    ]
    return {
        "page_of_results": page,
        "lines": lines,
        "next_page": _address(request, p=str(page.next_page_number())) if page.has_next() else "",
        "previous_page": (
            _address(request, p=str(page.previous_page_number())) if page.has_previous() else ""
        ),
    }


def _choices(request: HttpRequest, name: str, result: Result, chosen: str) -> list[Choice]:
    """Return a facet's values; of a facet that tells nothing apart none."""
    values = result.facets[name]
    if len(values) < 2 and not chosen:
        return []
    return [
        Choice(
            each.value,
            each.features,
            _address(request, **{name: None if each.value == chosen else each.value}),
            each.value == chosen,
        )
        for each in values
    ]


def _address(request: HttpRequest, **changed: str | None) -> str:
    """Return this page with other parameters; what is shown then begins at its first page."""
    query = request.GET.copy()
    query.pop("p", None)
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None:
            query[name] = value
    return f"?{query.urlencode()}"
