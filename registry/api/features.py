"""The features themselves over HTTP: searched by words and facets, typos and all.

Not for views, entities, sources and services as a whole: ``catalogue`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.parameters import PAGE, one_of, paged
from registry import access
from registry.choices import Sensitivity, Standing, State
from registry.search import FACETS, find_features

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.search import Found

#: Facets of one project; filters whose value is one of a few words, which others are not.
CHOSEN = tuple(name for name in FACETS if name != "project")
WORDS: dict[str, Any] = {"sensitivity": Sensitivity, "state": State, "freshness": Standing}


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
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        sent = request.query_params
        for name, known in WORDS.items():
            one_of(sent, name, known)
        chosen = {name: sent.get(name, "") for name in CHOSEN}
        result = find_features({found.pk}, q=sent.get("q", ""), chosen=chosen)
        response = paged(request, result.found, feature_output)
        response.data["facets"] = {
            name: [{"value": each.value, "count": each.features} for each in result.facets[name]]
            for name in CHOSEN
        }
        response.data["guessed"] = result.guessed
        return response


def feature_output(found: Found) -> dict[str, Any]:
    version, feature = found.entry
    number, words = version.number, version.words
    return {
        "reference": version.reference(feature.name),
        "name": feature.name,
        "feature_view": version.view,
        "version": str(number) if number else None,
        "state": version.state,
        "is_default": version.is_default,
        "type": feature.type,
        "sensitivity": feature.sensitivity,
        "description": feature.description,
        "owner": words.owner,
        "tags": list(words.tags),
        "entities": list(words.entities),
        "source": words.source or None,
        "columns": sorted(feature.origin.columns),
        "inputs": [*map(str, feature.origin.features), *feature.origin.request],
        "freshness": found.freshness,
        "matched": found.matched,
    }
