"""The features themselves over HTTP: searched by words and facets, typos and all.

Not for views, entities, sources and services as a whole: ``catalogue`` has those.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Document, Instant, answers, pages
from lib.api import API, described
from lib.errors import SHOWN_LENGTH, NotFound
from lib.instants import timestamp
from lib.parameters import PAGE, one_of, paged
from registry import access
from registry.catalogue.entries import Entry, rows_in_use
from registry.catalogue.facts import facts_of
from registry.catalogue.named import named_feature, reference_of, spec_of, wanted_of
from registry.catalogue.related import related_to
from registry.catalogue.search import EXACT, FACETS, Found, find_features
from registry.catalogue.snippets import snippets
from registry.catalogue.stages import stages_of
from registry.choices import SERVED_STATES, Right, Sensitivity, Standing, State
from registry.glass import BrokenGlassAnswer, glass_output, marks_of
from registry.lineage import graph_of, starts_of
from registry.lineage_graph import MAX_DEPTH, NodeKind
from registry.scopes import views_of

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.models import BrokenGlass, Feature

#: Of those that read a feature, so many are named; its lineage has all.
MOST_READERS = 100
#: Facets of one project; filters whose value is one of a few words, which others are not.
CHOSEN = tuple(name for name in FACETS if name != "project")
WORDS: dict[str, Any] = {"sensitivity": Sensitivity, "state": State, "freshness": Standing}


class FeatureAnswer(TypedDict):
    """One feature, as the version that speaks for its view has it."""

    reference: str
    name: str
    feature_view: str
    version: str | None
    state: str
    is_default: bool
    break_glass: BrokenGlassAnswer | None
    type: str
    sensitivity: str
    description: str
    unit: str
    owner: str
    tags: list[str]
    entities: list[str]
    source: str | None
    columns: list[str]
    mask: str | None
    encoding: str | None
    inputs: list[str]
    freshness: str | Document | None


class FoundFeature(FeatureAnswer):
    """The same, with why it was found."""

    matched: str


class FacetAnswer(TypedDict):
    """A value of a filter, and how many features it would leave."""

    value: str
    count: int


class NamedAnswer(TypedDict):
    kind: str
    name: str


class StageAnswer(TypedDict):
    """What one version made of a feature."""

    version: str | None
    state: str
    approved_at: Instant | None
    feature: str
    changes: list[str]
    reasons: list[str]


class RelatedAnswer(TypedDict):
    reference: str
    why: list[str]


class SnippetAnswer(TypedDict):
    """One way to read it, what that gives, and what to copy."""

    title: str
    says: str
    text: str


class OneFeature(FeatureAnswer):
    """One feature whole: what it means and is made of, its readers, its course, what is like it."""

    about_view: str
    checks: list[str]
    readers: list[NamedAnswer]
    history: list[StageAnswer]
    related: list[RelatedAnswer]
    how_to_read: list[SnippetAnswer]


class FeaturesAPI(API):
    """The features of a project, each once, as the version that speaks for its view has it."""

    attempt = "looking through the features"
    parameters = {
        "q": "words of its name, description, view, entities, owner, tags, source or columns",
        "entity": "entity name",
        "owner": "owner",
        "tag": "key or key:value",
        "sensitivity": "of the feature",
        "type": "of the feature",
        "state": "of the version that speaks for its view",
        "freshness": f"one of {', '.join(Standing)}",
        **PAGE,
    }

    @extend_schema(
        operation_id="search_features",
        description="Search the features. Best matches first: an exact name, the beginning of one,"
        " a word, part of a word; where nothing has a word, what is near it (`guessed`). `facets`"
        " counts what each filter would leave.",
        parameters=described(parameters),
        responses=pages(
            FoundFeature, facets=dict[str, list[FacetAnswer]], guessed=dict[str, list[str]]
        ),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        sent = request.query_params
        for name, known in WORDS.items():
            one_of(sent, name, known)
        chosen = {name: sent.get(name, "") for name in CHOSEN}
        result = find_features(
            {found.pk}, q=sent.get("q", ""), chosen=chosen, views=views_of(request.user)
        )
        response = paged(request, result.found)
        marks = marks_of(each.entry.version.pk for each in response.data["results"])
        response.data["results"] = [
            feature_output(each, marks.get(each.entry.version.pk))
            for each in response.data["results"]
        ]
        response.data["facets"] = {
            name: [{"value": each.value, "count": each.features} for each in result.facets[name]]
            for name in CHOSEN
        }
        response.data["guessed"] = result.guessed
        return response


class FeatureAPI(API):
    """One feature whole: what it means and is made of, its readers, its course, what is like it."""

    attempt = "looking at {reference}"

    @extend_schema(
        operation_id="get_feature",
        description="Describe one feature, by a reference: `view:feature`, `view@1.2.0:feature`.",
        responses=answers(OneFeature),
    )
    def get(self, request: Request, project: str, reference: str) -> Response:
        found = access.access_project(request.user, project)
        feature = named_feature(found, reference)
        if feature is None:
            shown = reference[:SHOWN_LENGTH]
            raise NotFound(
                f"project {project} has no feature {shown!r}; GET features?q= searches them."
            )
        access.require(request.user, Right.VIEW_PROJECT, feature.version.feature_view)
        return Response(detail_output(feature, request.build_absolute_uri("/").rstrip("/")))


def detail_output(feature: Feature, base_url: str) -> OneFeature:
    version, view = feature.version, feature.version.feature_view
    said = facts_of([version])[version.pk] if version.state in SERVED_STATES else {}
    return {
        **_brief(feature),
        "about_view": version.spec.view.description,
        "checks": list(spec_of(feature).checks.in_words()),
        "freshness": said.get("freshness"),
        "readers": _readers(feature),
        "history": [
            {
                "version": stage.version.number,
                "state": stage.version.state,
                "approved_at": timestamp(stage.version.approved_at),
                "feature": stage.word or "unchanged",
                "changes": stage.changes,
                "reasons": stage.reasons,
            }
            for stage in stages_of(view, feature.name)
        ],
        "related": [{"reference": each.reference, "why": each.why} for each in related_to(feature)],
        "how_to_read": [
            {"title": each.title, "says": each.says, "text": each.text}
            for each in snippets(wanted_of(feature, base_url))
        ],
    }


def _brief(feature: Feature) -> FeatureAnswer:
    """Return what a line of a search says, but how it was found."""
    version = feature.version
    rows = rows_in_use({version.feature_view.project_id}, also=version.pk)
    row = next(each for each in rows if each.pk == version.pk)
    words = next(each for each in row.words.features if each.name == feature.name)
    found = Found(Entry(row, words), EXACT, EXACT, "")
    return _told(found, marks_of([version.pk]).get(version.pk))


def _readers(feature: Feature) -> list[NamedAnswer]:
    view, reference = feature.version.feature_view, reference_of(feature)
    graph = graph_of(view.project, also=feature.version_id)
    starts = starts_of(graph, NodeKind.FEATURE, reference)
    steps = graph.around(starts, up=0, down=MAX_DEPTH)
    read = (s.key for s in steps if s.distance > 0 and s.key.kind != NodeKind.FEATURE)
    return [{"kind": key.kind, "name": key.name} for key in islice(read, MOST_READERS)]


def feature_output(found: Found, mark: BrokenGlass | None) -> FoundFeature:
    return {**_told(found, mark), "matched": found.matched}


def _told(found: Found, mark: BrokenGlass | None) -> FeatureAnswer:
    version, feature = found.entry
    number, words = version.number, version.words
    return {
        "reference": version.reference(feature.name),
        "name": feature.name,
        "feature_view": version.view,
        "version": str(number) if number else None,
        "state": version.state,
        "is_default": version.is_default,
        "break_glass": glass_output(mark) if mark else None,
        "type": feature.type,
        "sensitivity": feature.sensitivity,
        "description": feature.description,
        "unit": feature.unit,
        "owner": words.owner,
        "tags": list(words.tags),
        "entities": list(words.entities),
        "source": words.source or None,
        "columns": feature.origin.columns_said,
        "mask": feature.masked or None,
        "encoding": feature.encoded or None,
        "inputs": [*map(str, feature.origin.features), *feature.origin.request],
        "freshness": found.freshness,
    }
